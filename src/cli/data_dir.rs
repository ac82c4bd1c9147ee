//! The data directory: who this node is, and that it is only one process.
//!
//! It holds `lock` (held while the process lives), `node-id`, `admin-token` and `token-key` when the
//! service made them, and the embedded journal's file. The directory is made with mode 0700, its files with 0600.

use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, Read, Seek, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use rand::CryptoRng;
use uuid::Uuid;

use super::credentials::{CredentialError, KeyBytes, TokenText};
use super::failure::{CommandError, EXIT_FAILED, EXIT_USAGE};
use crate::config::private::{Exposed, FileSharing};

const LOCK: &str = "lock";
const NODE_ID: &str = "node-id";
const ADMIN_TOKEN: &str = "admin-token";
const TOKEN_KEY: &str = "token-key";
/// More than any of the small files holds.
const SMALL_FILE_MAX: u64 = 4_096;

/// An open data directory. It is this process' alone until it is dropped.
#[derive(Debug)]
pub struct DataDir {
    path: PathBuf,
    node: String,
    sharing: FileSharing,
    /// The lock lives as long as the file is open; the system lets it go when the process dies.
    _lock: File,
}

/// Why the data directory cannot be used.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "the sentence shows what each field holds")]
pub enum DataDirError {
    /// Not made.
    #[error("the data directory {} cannot be made: choose another with --data-dir", path.display())]
    Make {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    /// It, or a file in it, is not this process' own.
    #[error("the data directory cannot be trusted: {0}")]
    Exposed(#[from] Exposed),
    /// Somebody has it.
    #[error("the data directory {} is in use by another process{holder}: stop it, or choose another directory with --data-dir", path.display())]
    InUse { path: PathBuf, holder: String },
    /// A file in it cannot be read or written.
    #[error("{} cannot be {verb}: check the permissions of the data directory and the space on its disk", path.display())]
    File {
        path: PathBuf,
        verb: &'static str,
        #[source]
        source: io::Error,
    },
    /// The node id is broken.
    #[error("{} holds no node id: delete it to get a new one", path.display())]
    NodeId {
        path: PathBuf,
        #[source]
        source: uuid::Error,
    },
    /// The kept token is broken.
    #[error("the kept admin token cannot be used: delete its file to get a new one")]
    AdminToken(#[source] CredentialError),
    /// What is kept cannot be read; it may be whole.
    #[error(
        "a file that the data directory keeps cannot be read: give it to the user that the service runs as (chown), or move away \
         what stands in its place; as long as nobody has looked into it, leave it where it is"
    )]
    Unreadable(#[source] CredentialError),
    /// The kept key is broken.
    #[error("the kept token key cannot be used: delete its file to get a new one, which ends every workspace token")]
    TokenKey(#[source] CredentialError),
}

impl CommandError for DataDirError {
    fn exit_code(&self) -> u8 {
        if matches!(self, Self::Exposed(_)) { EXIT_USAGE } else { EXIT_FAILED }
    }
}

/// What is wrong with a file that is kept: to delete it mends nothing where others may read it.
fn kept(broken: fn(CredentialError) -> DataDirError) -> impl FnOnce(CredentialError) -> DataDirError {
    move |error| match error {
        CredentialError::Exposed { source, .. } => DataDirError::Exposed(source),
        error if error.hides_the_text() => DataDirError::Unreadable(error),
        error => broken(error),
    }
}

impl DataDir {
    /// Makes the directory if need be, locks it and reads who this node is; `new_id` is the node's
    /// id if it has none yet.
    ///
    /// # Errors
    /// See [`DataDirError`].
    pub fn open(path: &Path, new_id: Uuid, sharing: FileSharing) -> Result<Self, DataDirError> {
        let make = |source| DataDirError::Make { path: path.to_owned(), source };
        DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(make)?;
        sharing.check_directory(path, &fs::metadata(path).map_err(make)?)?;
        let lock = lock(path)?;
        let node = node_id(&path.join(NODE_ID), new_id)?;
        Ok(Self { path: path.to_owned(), node: node.to_string(), sharing, _lock: lock })
    }

    /// The directory.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The node's id: the same at every start on this directory.
    #[must_use]
    pub fn node(&self) -> &str {
        &self.node
    }

    /// The kept admin token, made now if there is none, and the file that holds it.
    ///
    /// # Errors
    /// The file cannot be read or written, or what it holds is no token.
    pub fn admin_token(&self, rng: &mut impl CryptoRng) -> Result<(TokenText, PathBuf), DataDirError> {
        let path = admin_token_file(&self.path);
        if path.exists() {
            return Ok((TokenText::read(&path, self.sharing).map_err(kept(DataDirError::AdminToken))?, path));
        }
        let token = TokenText::random(rng);
        write_whole(&path, token.as_str())?;
        Ok((token, path))
    }

    /// The kept key that workspace tokens are signed with, made now if there is none, and its file.
    ///
    /// # Errors
    /// The file cannot be read or written, or what it holds is no key.
    pub fn token_key(&self, rng: &mut impl CryptoRng) -> Result<(KeyBytes, PathBuf), DataDirError> {
        let path = self.path.join(TOKEN_KEY);
        if path.exists() {
            return Ok((KeyBytes::read(&path, self.sharing).map_err(kept(DataDirError::TokenKey))?, path));
        }
        let key = KeyBytes::random(rng);
        write_whole(&path, &key.text())?;
        Ok((key, path))
    }
}

/// Where a service on the data directory `path` keeps the admin token that it made.
#[must_use]
pub fn admin_token_file(path: &Path) -> PathBuf {
    path.join(ADMIN_TOKEN)
}

fn lock(dir: &Path) -> Result<File, DataDirError> {
    let path = dir.join(LOCK);
    let failed = |source| DataDirError::File { path: path.clone(), verb: "locked", source };
    let mut file = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(&path)
        .map_err(failed)?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            return Err(DataDirError::InUse { path: dir.to_owned(), holder: holder(&file) });
        }
        Err(TryLockError::Error(source)) => return Err(failed(source)),
    }
    // The process id is only for the sentence that a second process prints.
    file.set_len(0)
        .and_then(|()| file.rewind())
        .and_then(|()| writeln!(file, "{}", std::process::id()))
        .map_err(failed)?;
    Ok(file)
}

/// ` (process 123)`, or nothing if the holder has not written it yet.
fn holder(file: &File) -> String {
    let mut text = String::new();
    let read = file.take(SMALL_FILE_MAX).read_to_string(&mut text);
    match (read, text.trim().parse::<u32>()) {
        (Ok(_), Ok(id)) => format!(" (process {id})"),
        _ => String::new(),
    }
}

fn node_id(path: &Path, new_id: Uuid) -> Result<Uuid, DataDirError> {
    let mut text = String::new();
    match File::open(path).and_then(|file| file.take(SMALL_FILE_MAX).read_to_string(&mut text)) {
        Ok(_) => text.trim().parse().map_err(|source| DataDirError::NodeId { path: path.to_owned(), source }),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            write_whole(path, &new_id.to_string())?;
            Ok(new_id)
        }
        Err(source) => Err(DataDirError::File { path: path.to_owned(), verb: "read", source }),
    }
}

/// Writes a file that is there whole or not at all, even if the machine dies meanwhile.
fn write_whole(path: &Path, text: &str) -> Result<(), DataDirError> {
    let new = path.with_extension("new");
    let write = || {
        let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&new)?;
        writeln!(file, "{text}")?;
        file.sync_all()?;
        fs::rename(&new, path)?;
        path.parent().map_or(Ok(()), |dir| File::open(dir)?.sync_all())
    };
    write().map_err(|source| DataDirError::File { path: path.to_owned(), verb: "written", source })
}

#[cfg(test)]
mod tests {
    use std::error::Error as _;
    use std::os::unix::fs::PermissionsExt;

    use rand::SeedableRng;
    use rand::rngs::StdRng;

    use super::*;

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().permissions().mode() & 0o777
    }

    #[test]
    fn a_node_keeps_its_id_its_token_and_its_key() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a/b");
        let first = DataDir::open(&path, Uuid::from_u128(1), FileSharing::Refused).unwrap();
        let (token, file) = first.admin_token(&mut StdRng::seed_from_u64(1)).unwrap();
        let (key, key_file) = first.token_key(&mut StdRng::seed_from_u64(1)).unwrap();
        assert_eq!((mode(&path), mode(&file), mode(&key_file)), (0o700, 0o600, 0o600));
        drop(first);

        let again = DataDir::open(&path, Uuid::from_u128(2), FileSharing::Refused).unwrap();
        assert_eq!(again.node(), Uuid::from_u128(1).to_string());
        assert_eq!(again.admin_token(&mut StdRng::seed_from_u64(2)).unwrap(), (token, file));
        assert_eq!(again.token_key(&mut StdRng::seed_from_u64(2)).unwrap(), (key, key_file));
    }

    /// What is in the file opens every workspace, or signs every token: to delete it is no advice where nobody has read it.
    #[test]
    fn a_kept_file_that_cannot_be_read_is_not_said_to_be_broken() {
        let dir = tempfile::tempdir().unwrap();
        let data = DataDir::open(dir.path(), Uuid::from_u128(1), FileSharing::Refused).unwrap();
        for name in ["admin-token", "token-key"] {
            fs::create_dir(dir.path().join(name)).unwrap();
        }
        let mut rng = StdRng::seed_from_u64(2);
        let told = [data.admin_token(&mut rng).unwrap_err(), data.token_key(&mut rng).unwrap_err()];
        for error in told {
            assert!(matches!(error, DataDirError::Unreadable(_)), "{error:?}");
            let (sentence, cause) = (error.to_string(), error.source().unwrap().to_string());
            assert!(sentence.contains("chown") && !sentence.contains("delete"), "{sentence}");
            assert!(cause.contains("it is a directory"), "{cause}");
        }
        fs::remove_dir(dir.path().join("token-key")).unwrap();
        write_whole(&dir.path().join("token-key"), "too short").unwrap();
        assert!(data.token_key(&mut rng).unwrap_err().to_string().contains("delete its file"));
    }

    #[test]
    fn a_directory_in_use_is_refused_until_it_is_let_go() {
        let dir = tempfile::tempdir().unwrap();
        let first = DataDir::open(dir.path(), Uuid::from_u128(1), FileSharing::Refused).unwrap();
        let error = DataDir::open(dir.path(), Uuid::from_u128(2), FileSharing::Refused).unwrap_err();
        let sentence = error.to_string();
        assert!(
            sentence.contains(&format!("in use by another process (process {})", std::process::id())),
            "{sentence}"
        );
        drop(first);
        DataDir::open(dir.path(), Uuid::from_u128(2), FileSharing::Refused).unwrap();
    }

    #[test]
    fn a_broken_node_id_is_not_replaced_in_silence() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join(NODE_ID), "").unwrap();
        assert!(matches!(
            DataDir::open(dir.path(), Uuid::from_u128(1), FileSharing::Refused),
            Err(DataDirError::NodeId { .. })
        ));
    }

    #[test]
    fn a_path_that_is_a_file_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("file");
        fs::write(&file, "").unwrap();
        assert!(matches!(
            DataDir::open(&file, Uuid::from_u128(1), FileSharing::Refused),
            Err(DataDirError::Make { .. })
        ));
    }
}

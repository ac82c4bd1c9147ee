//! `outbound reseal`: every workspace's secrets under today's key, so that an old one can go. Offline: the service must
//! not run, for who holds a shard is the only one who writes there.

use std::collections::HashMap;
use std::io::{Write, stderr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use uuid::Uuid;

use crate::app::sealing::{Needed, SealingError, needed, refuse_other_keys};
use crate::cli::credentials::{SECRET_KEY, keyring};
use crate::cli::failure::{CommandError, CommandFailure, EXIT_FAILED, EXIT_USAGE};
use crate::cli::output::progress_bar;
use crate::cli::runtime::block_on;
use crate::cli::transport::{JournalArgs, journal_flag, open_offline};
use crate::config::private::FileSharing;
use crate::journal::codec;
use crate::journal::port::{
    AcquireError, Acquired, Batch, Holder, Journal, LoadError, NotedKey, ReadError, ShardConnectionError, Step,
    StoreError,
};
use crate::message::WorkspaceId;
use crate::seal::{Keyring, UnsealError, keys_of};

/// The flags of `outbound reseal`.
#[derive(Debug, clap::Args)]
#[command(after_help = AFTER_HELP, mut_args(|flag| journal_flag(flag, "The journal: embedded (in the data directory, the default), embedded:PATH, or a Redis")))]
pub struct ResealArgs {
    /// Change nothing; say how many workspaces need which key
    #[arg(long, env = "OUTBOUND_DRY_RUN", value_parser = crate::cli::values::parse_yes)]
    pub dry_run: bool,
    /// Where the secrets are
    #[command(flatten)]
    pub journal: JournalArgs,
    /// The data directory, for the embedded journal
    #[arg(long, env = "OUTBOUND_DATA_DIR", value_name = "DIR", default_value = "./outbound-data")]
    pub data_dir: PathBuf,
    /// A file that holds the keys that secrets are encrypted with
    #[arg(long, env = "OUTBOUND_SECRET_KEY_FILE", value_name = "FILE")]
    pub secret_key_file: Option<PathBuf>,
}

const AFTER_HELP: &str = "\
Stop every service of this journal first. The keys come from OUTBOUND_SECRET_KEY or --secret-key-file, as for \
`outbound serve`: the first one encrypts, so put the new one in front and the old ones behind it. When it is done \
the old ones can go, unless a line says that a workspace could not be read.

Examples:
  outbound reseal --dry-run
  OUTBOUND_SECRET_KEY=\"k2:… k1:…\" outbound reseal
  outbound reseal --journal redis://127.0.0.1:6379 --secret-key-file keys";

/// How long a shard is held for a commit. A service that is started meanwhile waits for so long at most.
const LEASE: Duration = Duration::from_secs(60);
/// What is shown while it works.
const SPINNER: &str = "{spinner} {pos} workspaces, {elapsed}";

/// Why it did not do everything.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "the sentence shows what each field holds")]
pub enum ResealError {
    /// Nothing to seal with.
    #[error("there is no key to encrypt with: set {} or --secret-key-file to ID:KEY", SECRET_KEY.variable)]
    NoKey,
    /// A service runs.
    #[error(
        "shard {shard} is held by node {node}: stop every service of this journal first (the lease of one that was killed ends within {remaining:?})"
    )]
    Held { shard: u16, node: String, remaining: Duration },
    /// A shard was lost.
    #[error("it stopped after {resealed} workspaces, which are done; run it again when no service runs")]
    Stopped {
        resealed: u64,
        #[source]
        source: ShardConnectionError,
    },
    /// The store is away.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A key has the id of another one.
    #[error(transparent)]
    Keys(#[from] SealingError),
    /// Some are as they were.
    #[error("{left} of {all} workspaces could not be encrypted anew; each line above says why")]
    Left { left: u64, all: u64 },
}

impl CommandError for ResealError {
    fn exit_code(&self) -> u8 {
        let is_usage = matches!(self, Self::NoKey | Self::Keys(SealingError::OtherKey { .. }));
        if is_usage { EXIT_USAGE } else { EXIT_FAILED }
    }
}

/// Does it.
///
/// # Errors
/// No key, no journal, a service that runs, or workspaces that cannot be opened.
pub fn run(args: &ResealArgs, out: &mut dyn Write) -> Result<(), CommandFailure> {
    let keyring = keyring(
        SECRET_KEY.from_environment().as_deref(),
        args.secret_key_file.as_deref(),
        FileSharing::Allowed,
        rand::random,
    )?;
    if !args.dry_run && keyring.sealing().is_none() {
        return Err(ResealError::NoKey.into());
    }
    block_on(async {
        let journal = open_offline(&args.journal, &args.data_dir).await?;
        if args.dry_run {
            let needed = needed(&*journal, &keyring).await.map_err(ResealError::Store)?;
            return tell(&needed, &keyring, out).map_err(CommandFailure::output);
        }
        let mut work = Resealing::new(journal, keyring);
        let ended = work.run().await;
        work.release().await;
        ended?;
        work.report(out).await
    })
}

/// What a dry run prints.
fn tell(needed: &Needed, keyring: &Keyring, out: &mut dyn Write) -> std::io::Result<()> {
    for (id, count) in &needed.by_key {
        let missing = match needed.misfits.get(id) {
            Some(_) => ", which is another key than the one given under that id",
            None if keyring.has(id) => "",
            None => ", which is not among the keys given",
        };
        writeln!(out, "{count} need the key {id}{missing}")?;
    }
    writeln!(out, "{} are in plain text", needed.plain)?;
    if needed.unreadable > 0 {
        writeln!(out, "{} cannot be read", needed.unreadable)?;
    }
    Ok(())
}

/// The work, and what came of it so far.
struct Resealing {
    journal: Arc<dyn Journal>,
    keyring: Keyring,
    holder: Holder,
    /// The shards that are held, each from its first workspace on.
    held: HashMap<u16, Acquired>,
    seen: u64,
    resealed: u64,
    left: u64,
}

impl Resealing {
    fn new(journal: Arc<dyn Journal>, keyring: Keyring) -> Self {
        let holder = Holder { node: format!("reseal-{}", Uuid::new_v4()), lease: LEASE };
        Self { journal, keyring, holder, held: HashMap::new(), seen: 0, resealed: 0, left: 0 }
    }

    async fn run(&mut self) -> Result<(), ResealError> {
        refuse_other_keys(&*self.journal, &self.keyring, None).await?;
        // Noted first: whatever is sealed is known to be, wherever this ends.
        if let Some(id) = self.keyring.sealing() {
            self.journal.note_sealing_key(id, self.keyring.print_of(id)).await?;
        }
        let bar = progress_bar(None, SPINNER);
        let mut place = None;
        loop {
            let page = self.journal.walk(place.as_deref()).await?;
            for workspace in &page.workspaces {
                self.workspace(workspace).await?;
                bar.inc(1);
            }
            place = page.next;
            if place.is_none() {
                bar.finish_and_clear();
                return Ok(());
            }
        }
    }

    /// Seals one anew, unless that is so already.
    async fn workspace(&mut self, workspace: &WorkspaceId) -> Result<(), ResealError> {
        self.seen += 1;
        let mut state = match self.journal.snapshot(workspace).await {
            Ok(state) => state,
            Err(ReadError::Store(error)) => return Err(error.into()),
            Err(ReadError::Load(error)) => {
                self.leave(workspace, &error);
                return Ok(());
            }
        };
        let unopened =
            |error: &UnsealError| LoadError::Sealed { workspace: workspace.clone(), detail: error.to_string() };
        let keys = match keys_of(&mut state.webhook) {
            Ok(keys) => keys,
            Err(error) => {
                self.leave(workspace, &unopened(&error));
                return Ok(());
            }
        };
        let today = self.keyring.sealing();
        if keys.iter().all(|key| key.as_deref() == today) {
            // Nothing is to be done with it, and what is damaged is told all the same.
            if let Err(error) = self.keyring.open(workspace, &mut state.webhook) {
                self.leave(workspace, &unopened(&error));
            }
            return Ok(());
        }
        let stopped = |resealed| move |source| ResealError::Stopped { resealed, source };
        let resealed = self.resealed;
        let held = self.hold(workspace.shard(self.journal.shards())).await?;
        let loaded = held.connection.load(workspace).await.map_err(stopped(resealed))?;
        let opened = loaded.and_then(|mut loaded| {
            self.keyring.open(workspace, &mut loaded.state.webhook).map_err(|error| unopened(&error))?;
            Ok(loaded.state)
        });
        let mut state = match opened {
            Ok(state) => state,
            Err(error) => {
                self.leave(workspace, &error);
                return Ok(());
            }
        };
        self.keyring.seal(workspace, &mut state.webhook);
        let snapshot = Some(codec::encode_snapshot(&state));
        let step = Step { workspace: Some(workspace.clone()), snapshot, ..Step::default() };
        let held = self.hold(workspace.shard(self.journal.shards())).await?;
        held.connection.commit(Batch { steps: vec![step], ..Batch::default() }).await.map_err(stopped(resealed))?;
        self.resealed += 1;
        Ok(())
    }

    async fn hold(&mut self, shard: u16) -> Result<&Acquired, ResealError> {
        if !self.held.contains_key(&shard) {
            let acquired = self.journal.acquire(shard, &self.holder).await.map_err(|error| match error {
                AcquireError::Held { shard, node, remaining } => ResealError::Held { shard, node, remaining },
                AcquireError::Store(error) => error.into(),
            })?;
            self.held.insert(shard, acquired);
        }
        Ok(&self.held[&shard])
    }

    fn leave(&mut self, workspace: &WorkspaceId, error: &LoadError) {
        self.left += 1;
        writeln!(stderr(), "{workspace}: {error}").ok();
    }

    /// Lets a service take the shards at once.
    async fn release(&mut self) {
        for (_, held) in self.held.drain() {
            // If this fails, the lease expires by itself.
            held.connection.release().await.ok();
        }
    }

    async fn report(&self, out: &mut dyn Write) -> Result<(), CommandFailure> {
        let key = self.keyring.sealing().unwrap_or_default();
        writeln!(out, "{} of {} workspaces were encrypted anew with {key}", self.resealed, self.seen)
            .map_err(CommandFailure::output)?;
        if self.left > 0 {
            return Err(ResealError::Left { left: self.left, all: self.seen }.into());
        }
        let noted = self.journal.sealing_keys().await.map_err(ResealError::Store)?;
        for NotedKey { id, .. } in noted.iter().filter(|noted| noted.id != key) {
            self.journal.note_sealing_key(id, None).await.map_err(ResealError::Store)?;
            writeln!(out, "the key {id} is needed no more").map_err(CommandFailure::output)?;
        }
        Ok(())
    }
}

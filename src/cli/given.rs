//! What an operator gives that nobody else may read, a token or a key: in an environment variable or in a
//! file, never in the arguments, which other users of a machine can see.

use std::fmt;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

/// Where a token or a key was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// In an environment variable.
    Variable(&'static str),
    /// In a file.
    File(PathBuf),
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Variable(name) => f.write_str(name),
            Self::File(path) => write!(f, "{}", path.display()),
        }
    }
}

/// Why what was given cannot be taken.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// In the variable and in the file, which need not agree.
    #[error("both {variable} and {flag} are set: keep one")]
    Twice {
        /// The variable's name.
        variable: &'static str,
        /// The flag that names the file.
        flag: &'static str,
    },
    /// The file cannot be read.
    #[error("the {what} file {} cannot be read", path.display())]
    Unreadable {
        /// What it should hold.
        what: &'static str,
        /// Which file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
}

/// One thing that may be given.
#[derive(Debug, Clone, Copy)]
pub struct Given {
    /// What it is, in words.
    pub what: &'static str,
    /// The environment variable that holds it.
    pub variable: &'static str,
    /// The flag that names a file that holds it.
    pub flag: &'static str,
    /// Bytes read of the file at most, white space around the text included: the path may name a device.
    pub file_max: u64,
}

impl Given {
    /// The text, and where it was found. A variable that is set to nothing counts as not set.
    ///
    /// # Errors
    /// See [`Error`].
    pub fn text(&self, variable: Option<&str>, file: Option<&Path>) -> Result<Option<(String, Origin)>, Error> {
        match (variable.filter(|text| !text.is_empty()), file) {
            (Some(_), Some(_)) => Err(Error::Twice { variable: self.variable, flag: self.flag }),
            (Some(text), None) => Ok(Some((text.to_owned(), Origin::Variable(self.variable)))),
            (None, Some(path)) => Ok(Some((self.read(path)?, Origin::File(path.to_owned())))),
            (None, None) => Ok(None),
        }
    }

    /// The text of a file.
    ///
    /// # Errors
    /// [`Error::Unreadable`].
    pub fn read(&self, path: &Path) -> Result<String, Error> {
        let mut text = String::new();
        File::open(path)
            .and_then(|file| file.take(self.file_max).read_to_string(&mut text))
            .map_err(|source| Error::Unreadable { what: self.what, path: path.to_owned(), source })?;
        Ok(text)
    }

    /// The variable's value in this process.
    #[must_use]
    pub fn variable(&self) -> Option<String> {
        std::env::var_os(self.variable).map(|value| value.to_string_lossy().into_owned())
    }
}

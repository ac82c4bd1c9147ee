//! Which running service to talk to, and the admin token to show it.

use std::path::{Path, PathBuf};

use url::Url;

use super::admin_token::{self, TokenText};
use super::client::BuildError;
use super::data_dir::admin_token_file;

/// The server when none is given.
pub const SERVER_DEFAULT: &str = "http://127.0.0.1:8080";

/// The flags of every subcommand that talks to a running service.
#[derive(Debug, Clone, clap::Args)]
pub struct ServerArgs {
    /// The service to talk to [default: http://127.0.0.1:8080]
    #[arg(long, env = "OUTBOUND_SERVER", value_name = "URL", hide_env_values = true)]
    pub server: Option<Url>,
    /// The data directory of the service, for its admin token
    #[arg(long, env = "OUTBOUND_DATA_DIR", value_name = "DIR", default_value = "./outbound-data")]
    pub data_dir: PathBuf,
    /// A file that holds the admin token
    #[arg(long, env = "OUTBOUND_ADMIN_TOKEN_FILE", value_name = "FILE")]
    pub admin_token_file: Option<PathBuf>,
}

/// A running service and what opens it.
#[derive(Debug)]
pub struct Server {
    /// Where.
    pub url: Url,
    /// The admin token.
    pub token: TokenText,
}

impl ServerArgs {
    /// The service that is meant; the token comes from the environment, its file or the data directory.
    ///
    /// # Errors
    /// There is no usable token.
    pub fn chosen(&self) -> Result<Server, super::Error> {
        let url = match &self.server {
            Some(url) => url.clone(),
            None => Url::parse(SERVER_DEFAULT).map_err(|_| super::Error::Client(BuildError::ServerUrl))?,
        };
        let variable = admin_token::GIVEN.variable();
        Ok(Server { url, token: token(variable.as_deref(), self.admin_token_file.as_deref(), &self.data_dir)? })
    }
}

fn token(variable: Option<&str>, file: Option<&Path>, data_dir: &Path) -> Result<TokenText, admin_token::Error> {
    let kept = admin_token_file(data_dir);
    match admin_token::given(variable, file)? {
        Some(token) => Ok(token),
        None if kept.exists() => admin_token::read(&kept),
        None => Err(admin_token::Error::Missing),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kept_token_opens_the_service_of_a_data_directory() {
        let dir = tempfile::tempdir().unwrap();
        let kept = "0123456789abcdef0123456789abcdef";
        std::fs::write(admin_token_file(dir.path()), format!("{kept}\n")).unwrap();
        assert_eq!(token(None, None, dir.path()).unwrap().as_str(), kept);
        assert!(matches!(token(None, None, Path::new("/nonexistent")), Err(admin_token::Error::Missing)));
    }
}

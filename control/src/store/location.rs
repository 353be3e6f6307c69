//! Where a store is: a file, or a Postgres by its URL. A password need not stand in the URL.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use super::database::DatabaseError;
use super::tls::{self, Tls, Trust};

/// The password, where the URL has none.
const PASSWORD: &str = "PGPASSWORD";
/// A file whose first line is the password, where the URL and `PGPASSWORD` have none. It is read
/// anew for each connection, so that a rotated secret is taken up.
const PASSWORD_FILE: &str = "CUTOVER_STORE_PASSWORD_FILE";

/// Where a store is.
#[derive(Clone, Debug)]
pub(crate) enum Location {
    /// An SQLite file.
    File(PathBuf),
    /// A Postgres.
    Postgres(PostgresLocation),
}

/// A Postgres.
#[derive(Clone)]
pub(crate) struct PostgresLocation {
    config: Box<tokio_postgres::Config>,
    trust: Trust,
}

impl Location {
    /// What begins with `postgres://` or `postgresql://` is a URL, all else a file.
    pub(crate) fn parse(text: &str) -> Result<Location, String> {
        let is_url = ["postgres://", "postgresql://"]
            .iter()
            .any(|scheme| text.starts_with(scheme));
        if !is_url {
            return Ok(Location::File(PathBuf::from(text)));
        }
        let (text, mode, trust) = tls::split(text)?;
        let mut config = tokio_postgres::Config::from_str(&text)
            .map_err(|error| super::database::chain(&error))?;
        if config.get_hosts().is_empty() && config.get_hostaddrs().is_empty() {
            return Err("it names no host".to_owned());
        }
        config.ssl_mode(mode).application_name("cutover");
        let config = Box::new(config);
        Ok(Location::Postgres(PostgresLocation { config, trust }))
    }

    /// Whether several control planes may use it at a time.
    pub(crate) fn is_shared(&self) -> bool {
        matches!(self, Location::Postgres(_))
    }
}

impl PostgresLocation {
    /// What encrypts its connections.
    pub(super) fn tls(&self) -> Result<Tls, DatabaseError> {
        Tls::new(&self.trust)
    }

    /// With the password.
    pub(super) fn config(&self) -> Result<tokio_postgres::Config, DatabaseError> {
        let mut config = (*self.config).clone();
        if config.get_password().is_some() {
            return Ok(config);
        }
        if let Ok(password) = std::env::var(PASSWORD) {
            config.password(password);
        } else if let Ok(path) = std::env::var(PASSWORD_FILE) {
            let text = std::fs::read_to_string(&path)
                .map_err(|source| DatabaseError::Password { path, source })?;
            config.password(text.lines().next().unwrap_or_default());
        }
        Ok(config)
    }
}

impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Location::File(path) => path.display().fmt(f),
            Location::Postgres(postgres) => postgres.fmt(f),
        }
    }
}

/// Without the password.
impl fmt::Display for PostgresLocation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        use tokio_postgres::config::Host;
        f.write_str("postgres://")?;
        for (i, host) in self.config.get_hosts().iter().enumerate() {
            let comma = if i == 0 { "" } else { "," };
            match host {
                Host::Tcp(name) => write!(f, "{comma}{name}")?,
                Host::Unix(path) => write!(f, "{comma}{}", path.display())?,
            }
            let ports = self.config.get_ports();
            if let Some(port) = ports.get(i).or(ports.first()) {
                write!(f, ":{port}")?;
            }
        }
        write!(f, "/{}", self.config.get_dbname().unwrap_or_default())
    }
}

impl fmt::Debug for PostgresLocation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_is_a_postgres_and_all_else_a_file() {
        let check = |text: &str, expected: Result<&str, &str>| {
            let shown = Location::parse(text).map(|location| format!("{location}"));
            let shown = shown.as_ref().map(String::as_str).map_err(String::as_str);
            assert_eq!(shown, expected, "{text}");
        };
        check("cutover.db", Ok("cutover.db"));
        check("postgres.db", Ok("postgres.db"));
        check("postgres://u:secret@h:1/d", Ok("postgres://h:1/d"));
        check("postgresql://h/d", Ok("postgres://h:5432/d"));
        check("postgres:///d?host=/run", Ok("postgres:///run/d"));
        check("postgres:///d", Err("it names no host"));
        check("postgres://h/d?sslmode=require", Ok("postgres://h:5432/d"));
    }
}

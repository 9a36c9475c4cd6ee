//! From a file name to a connection: new files, older versions, newer versions, damaged files.
//!
//! Nothing is ever deleted: what cannot be used is moved aside, and what can still be read of it is taken over.

use std::fs::OpenOptions;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use portcullis_jail::{Level, LogLine, Timestamp};
use rusqlite::{Connection, ErrorCode, OpenFlags, OptionalExtension, params_from_iter};

use super::schema::{DROP_TALLIES, FILL_BIPS, INDEXES, TABLES, Table, VERSION};

/// How long a statement waits for somebody else's lock. News wait in the queue then, so this is short.
const PATIENCE: Duration = Duration::from_millis(250);

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub(super) enum OpenError {
    /// Another, newer program's file. It must not be touched.
    #[error("version {0} of the database is newer than this program's")]
    Newer(i64),
    /// The file is no database, or a broken one.
    #[error("{0}")]
    Damaged(rusqlite::Error),
    /// It may work later.
    #[error("{0}")]
    Unavailable(String),
}

impl From<rusqlite::Error> for OpenError {
    fn from(error: rusqlite::Error) -> Self {
        if is_damage(&error) { OpenError::Damaged(error) } else { OpenError::Unavailable(message(&error)) }
    }
}

/// Whether the error says that the file is broken.
pub(super) fn is_damage(error: &rusqlite::Error) -> bool {
    matches!(error.sqlite_error_code(), Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase))
}

/// SQLite's own words, without what Rust adds.
pub(super) fn message(error: &rusqlite::Error) -> String {
    match error {
        rusqlite::Error::SqliteFailure(_, Some(text)) => text.clone(),
        other => other.to_string(),
    }
}

pub(super) fn line(level: Level, text: impl Into<String>) -> LogLine {
    LogLine::new(level, "database", text)
}

/// Opens `file`, makes it if there is none, brings an older one up to date, replaces a damaged one.
pub(super) fn open(file: &str, now: Timestamp, lines: &mut Vec<LogLine>) -> Result<Connection, OpenError> {
    match connect(file, now, lines) {
        Err(OpenError::Damaged(error)) => {
            let text = format!("Error opening fail2ban persistent database '{file}': {}", message(&error));
            lines.push(line(Level::ERROR, text));
            replace(file, now, lines)
        }
        other => other,
    }
}

/// Moves a damaged file aside, makes a new one, and takes over what can still be read.
pub(super) fn replace(file: &str, now: Timestamp, lines: &mut Vec<LogLine>) -> Result<Connection, OpenError> {
    lines.push(line(Level::INFO, format!("Trying to repair database {file}")));
    let backup = backup_name(file, now);
    let unavailable = |error: std::io::Error| OpenError::Unavailable(error.to_string());
    std::fs::rename(file, &backup).map_err(unavailable)?;
    for suffix in ["-wal", "-shm", "-journal"] {
        // Most files have none of them.
        let _ = std::fs::rename(format!("{file}{suffix}"), format!("{backup}{suffix}"));
    }
    lines.push(line(Level::INFO, format!("  Database backup created: {backup}")));
    let mut later = Vec::new();
    let mut connection = connect(file, now, &mut later)?;
    let rows = salvage(Path::new(&backup), &mut connection);
    if rows > 0 {
        let bytes = std::fs::metadata(file).map_or(0, |metadata| metadata.len());
        let text = format!("  Repair seems to be successful, restored {bytes} byte(s).");
        lines.push(line(Level::INFO, text));
    } else {
        lines.push(line(Level::INFO, "  Repair seems to be failed, restored 0 byte(s)."));
        let text = format!("  Error repairing of fail2ban database '{file}': Recreate ...");
        lines.push(line(Level::ERROR, text));
    }
    lines.extend(later);
    Ok(connection)
}

/// `FILE.20261122-193837`, in UTC as Fail2ban does; with a number behind it if that is taken.
fn backup_name(file: &str, now: Timestamp) -> String {
    let stamp = jiff::Timestamp::from_second(now.0 as i64)
        .map_or_else(|_| "unknown".into(), |at| at.strftime("%Y%m%d-%H%M%S").to_string());
    let name = format!("{file}.{stamp}");
    let mut names = std::iter::once(name.clone()).chain((1..1000).map(|n| format!("{name}-{n}")));
    names.find(|name| !Path::new(name).exists()).unwrap_or(name)
}

fn connect(file: &str, now: Timestamp, lines: &mut Vec<LogLine>) -> Result<Connection, OpenError> {
    if file != ":memory:" {
        prepare_file(Path::new(file)).map_err(|error| OpenError::Unavailable(error.to_string()))?;
    }
    let flags =
        OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let mut connection = Connection::open_with_flags(file, flags)?;
    connection.busy_timeout(PATIENCE)?;
    connection.set_prepared_statement_cache_capacity(32);
    lines.push(line(Level::INFO, format!("Connected to fail2ban persistent database '{file}'")));
    // The first look at the file; until the version is known, nothing in it is changed.
    match version(&connection)? {
        None => {
            create(&mut connection)?;
            lines.push(line(Level::WARNING, format!("New database created. Version '{VERSION}'")));
        }
        Some(version) if version > VERSION => return Err(OpenError::Newer(version)),
        Some(version) if version < VERSION => migrate(&mut connection, file, version, now, lines)?,
        Some(_) => create(&mut connection)?,
    }
    settle(&connection)?;
    Ok(connection)
}

/// Makes the directory and an empty file that only root may read.
fn prepare_file(file: &Path) -> std::io::Result<()> {
    if file.exists() {
        return Ok(());
    }
    if let Some(directory) = file.parent().filter(|directory| !directory.as_os_str().is_empty()) {
        std::fs::create_dir_all(directory)?;
    }
    OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(file).map(drop)
}

/// How the connection behaves. Why a write-ahead log: `docs/decisions/`, on the database.
fn settle(connection: &Connection) -> rusqlite::Result<()> {
    connection.pragma_update(None, "foreign_keys", true)?;
    connection.pragma_update(None, "temp_store", "MEMORY")?;
    // Answers with the mode that it is; where a write-ahead log is impossible, that is a rollback journal.
    let mode = connection.pragma_update_and_check(None, "journal_mode", "WAL", |row| row.get::<_, String>(0));
    let wal = matches!(mode.as_deref(), Ok("wal"));
    connection.pragma_update(None, "synchronous", if wal { "NORMAL" } else { "FULL" })?;
    connection.pragma_update_and_check(None, "journal_size_limit", 4 << 20, |_| Ok(()))
}

/// The version that the file says it has; `None` when it has none of our tables, and is new.
fn version(connection: &Connection) -> rusqlite::Result<Option<i64>> {
    let exists = "SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = 'fail2banDb'";
    if connection.query_row(exists, [], |_| Ok(())).optional()?.is_none() {
        return Ok(None);
    }
    let version =
        connection.query_row("SELECT version FROM fail2banDb LIMIT 1", [], |row| row.get(0)).optional()?;
    // A file that lost its version row has what version 4 has, or gets it.
    Ok(Some(version.unwrap_or(VERSION)))
}

/// Makes whatever table and index there is not.
pub(super) fn create(connection: &mut Connection) -> rusqlite::Result<()> {
    let transaction = connection.transaction()?;
    for table in &TABLES {
        if !exists(&transaction, table.name)? {
            transaction.execute_batch(table.text)?;
        }
    }
    for index in INDEXES {
        transaction.execute_batch(index)?;
    }
    let set = "INSERT INTO fail2banDb(version) SELECT ?1 WHERE NOT EXISTS(SELECT 1 FROM fail2banDb)";
    transaction.execute(set, [VERSION])?;
    transaction.commit()
}

/// Whether there are tables of our own for tallies.
pub(super) fn has_tallies(connection: &Connection) -> bool {
    exists(connection, "portcullis_tallies").unwrap_or(false)
        && exists(connection, "portcullis_places").unwrap_or(false)
}

fn exists(connection: &Connection, table: &str) -> rusqlite::Result<bool> {
    let sql = "SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = ?1";
    Ok(connection.query_row(sql, [table], |_| Ok(())).optional()?.is_some())
}

/// Brings a file of version 1, 2 or 3 up to date, after a copy was made.
fn migrate(
    connection: &mut Connection,
    file: &str,
    from: i64,
    now: Timestamp,
    lines: &mut Vec<LogLine>,
) -> Result<(), OpenError> {
    if file != ":memory:" {
        let backup = backup_name(file, now);
        lines.push(line(Level::INFO, format!("Upgrade database: {backup} from version '{from}'")));
        std::fs::copy(file, &backup).map_err(|error| OpenError::Unavailable(error.to_string()))?;
        lines.push(line(Level::INFO, format!("  Database backup created: {backup}")));
    }
    connection.pragma_update(None, "foreign_keys", false)?;
    let transaction = connection.transaction()?;
    for table in &TABLES {
        if exists(&transaction, table.name)? && lacks_something(&transaction, table)? {
            rebuild(&transaction, table)?;
        }
    }
    transaction.commit()?;
    let had_bips = exists(connection, "bips")?;
    create(connection)?;
    let transaction = connection.transaction()?;
    if !had_bips {
        transaction.execute_batch(FILL_BIPS)?;
    }
    transaction.execute("UPDATE fail2banDb SET version = ?1", [VERSION])?;
    transaction.commit()?;
    lines.push(line(Level::WARNING, format!("Database updated from '{from}' to '{VERSION}'")));
    Ok(())
}

fn columns(connection: &Connection, table: &str) -> rusqlite::Result<Vec<String>> {
    let mut statement = connection.prepare("SELECT name FROM pragma_table_info(?1)")?;
    statement.query_map([table], |row| row.get(0))?.collect()
}

/// Whether a table is not the one of today: by its columns, or (`logs` of version 1) by its constraints.
fn lacks_something(connection: &Connection, table: &Table) -> rusqlite::Result<bool> {
    let present = columns(connection, table.name)?;
    let all = table.columns.iter().all(|(name, _)| present.iter().any(|column| column == name));
    if !all || table.name != "logs" {
        return Ok(!all);
    }
    let uniques = "SELECT count(*) FROM pragma_index_list('logs') WHERE \"unique\" = 1";
    connection.query_row(uniques, [], |row| row.get::<_, i64>(0)).map(|uniques| uniques < 2)
}

/// Makes a table anew with all columns, and moves the rows over.
fn rebuild(connection: &Connection, table: &Table) -> rusqlite::Result<()> {
    let name = table.name;
    let present = columns(connection, name)?;
    // Indexes go with the old table.
    connection.execute_batch(&format!("ALTER TABLE {name} RENAME TO old_{name}; {}", table.text))?;
    let (into, from): (Vec<&str>, Vec<&str>) = table
        .columns
        .iter()
        .map(|&(column, instead)| {
            (column, if present.iter().any(|p| p == column) { column } else { instead })
        })
        .unzip();
    connection.execute_batch(&format!(
        "INSERT OR REPLACE INTO {name}({}) SELECT {} FROM old_{name}; DROP TABLE old_{name}",
        into.join(", "),
        from.join(", ")
    ))
}

/// Takes over the rows that can still be read of a damaged file: from the front, and where that breaks off, from the
/// back. How many there were, not counting the version.
fn salvage(damaged: &Path, into: &mut Connection) -> usize {
    let Ok(from) = Connection::open_with_flags(damaged, OpenFlags::SQLITE_OPEN_READ_ONLY) else { return 0 };
    let Ok(transaction) = into.transaction() else { return 0 };
    let mut rows = 0;
    for table in TABLES.iter().filter(|table| table.name != "fail2banDb") {
        // Rows that were read from the front already are passed over when they come again from the back.
        let complete = salvage_table(&from, &transaction, table, "ASC", &mut rows).is_ok();
        if !complete {
            let _ = salvage_table(&from, &transaction, table, "DESC", &mut rows);
        }
    }
    if transaction.commit().is_ok() { rows } else { 0 }
}

fn salvage_table(
    from: &Connection,
    into: &Connection,
    table: &Table,
    order: &str,
    rows: &mut usize,
) -> rusqlite::Result<()> {
    let names: Vec<&str> = table.columns.iter().map(|(name, _)| *name).collect();
    let names = names.join(", ");
    let mut select =
        from.prepare(&format!("SELECT rowid, {names} FROM {} ORDER BY rowid {order}", table.name))?;
    let marks = vec!["?"; table.columns.len() + 1].join(", ");
    let mut insert =
        into.prepare(&format!("INSERT OR IGNORE INTO {}(rowid, {names}) VALUES({marks})", table.name))?;
    let mut found = select.query([])?;
    while let Some(row) = found.next()? {
        let values: Vec<rusqlite::types::Value> =
            (0..=table.columns.len()).map(|n| row.get(n)).collect::<rusqlite::Result<_>>()?;
        // A row that breaks a constraint is a broken row.
        *rows += insert.execute(params_from_iter(values)).unwrap_or(0);
    }
    Ok(())
}

/// Writes all that `connection` sees to a new file: when the old one was deleted under it.
pub(super) fn rescue(connection: &Connection, file: &str) -> rusqlite::Result<()> {
    // An empty file may be written to, and this one is made with the right mode.
    let _ = prepare_file(Path::new(file));
    connection.execute("VACUUM INTO ?1", [file])?;
    let _ = std::fs::set_permissions(PathBuf::from(file), PermissionsExt::from_mode(0o600));
    Ok(())
}

/// Leaves one plain file behind, as anybody expects to find it. The data are safe without it.
pub(super) fn close(connection: Connection) {
    let nobody =
        connection.query_row("SELECT NOT EXISTS(SELECT 1 FROM portcullis_tallies)", [], |row| row.get(0));
    if has_tallies(&connection) && nobody.unwrap_or(false) {
        let _ = connection.execute_batch(DROP_TALLIES);
    }
    let _ = connection.pragma_update_and_check(None, "journal_mode", "DELETE", |_| Ok(()));
    drop(connection);
}

//! What is written, one statement or two for each piece of news.

use std::path::Path;
use std::sync::Arc;

use portcullis_jail::Ticket;
use portcullis_jail::tally::Changes;
use portcullis_value::Value;
use rusqlite::types::Value as Sql;
use rusqlite::{Connection, params};

use super::data;
use super::schema::MAKE_TALLIES;

/// How far a log has been read.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Position {
    /// SHA-1 of the file's first line with its line end, in hex; empty while that is not complete. For the journal, the
    /// time of the last entry as text. Fail2ban's column for it is called `firstlinemd5`.
    pub first_line: String,
    /// The byte after the last line that was judged; for the journal, microseconds since 1970.
    pub position: u64,
}

/// What Fail2ban calls the journal in the table of logs; its position is a time.
pub(super) const JOURNAL: &str = "systemd-journal";

/// A piece of news.
#[derive(Clone, Debug)]
pub enum Write {
    /// A jail begins or ends.
    Jail {
        /// Which.
        name: Arc<str>,
        /// Whether it begins.
        enabled: bool,
    },
    /// A log was read up to here.
    Log {
        /// For which jail.
        jail: Arc<str>,
        /// The file.
        path: Arc<Path>,
        /// How far.
        position: Position,
    },
    /// Counts of failures that are no ban yet, as they are at the positions that are written with them.
    Tallies {
        /// In which jail.
        jail: Arc<str>,
        /// Whether all others are forgotten.
        anew: bool,
        /// Those that changed.
        changes: Changes,
    },
    /// A new ban, not one that was restored.
    Ban {
        /// In which jail.
        jail: Arc<str>,
        /// Whom, since when.
        ticket: Arc<Ticket>,
        /// For how long, in seconds; -1 for ever.
        bantime: Value,
    },
    /// A ban was lifted by hand: the offender's record is wiped.
    Unban {
        /// In which jail.
        jail: Arc<str>,
        /// Whom.
        id: String,
    },
    /// All bans of a jail were lifted by hand.
    UnbanAll {
        /// Which.
        jail: Arc<str>,
    },
}

impl Write {
    /// The jail it is about.
    pub(super) fn jail(&self) -> &Arc<str> {
        match self {
            Write::Jail { name, .. } => name,
            Write::Log { jail, .. }
            | Write::Tallies { jail, .. }
            | Write::Ban { jail, .. }
            | Write::Unban { jail, .. }
            | Write::UnbanAll { jail } => jail,
        }
    }

    /// Writes it, within the transaction that is open. `tallies`: whether there are tables for them.
    pub(super) fn apply(
        &self,
        connection: &Connection,
        max_matches: usize,
        tallies: &mut bool,
    ) -> rusqlite::Result<()> {
        let run = |sql: &str, values: &[&dyn rusqlite::ToSql]| {
            connection.prepare_cached(sql).and_then(|mut statement| statement.execute(values)).map(drop)
        };
        match self {
            Write::Jail { name, enabled } => run(
                "INSERT INTO jails(name, enabled) VALUES(?1, ?2) \
                 ON CONFLICT(name) DO UPDATE SET enabled = excluded.enabled",
                params![name, enabled],
            ),
            Write::Log { jail, path, position } => {
                let path = path.to_string_lossy();
                let place = if path == JOURNAL {
                    Sql::Real(position.position as f64 / 1e6)
                } else {
                    Sql::Integer(i64::try_from(position.position).unwrap_or(i64::MAX))
                };
                let values = params![jail, path, position.first_line, place];
                run(
                    "INSERT INTO logs(jail, path, firstlinemd5, lastfilepos) VALUES(?1, ?2, ?3, ?4) \
                     ON CONFLICT(jail, path) DO UPDATE \
                     SET firstlinemd5 = excluded.firstlinemd5, lastfilepos = excluded.lastfilepos",
                    values,
                )?;
                if !*tallies {
                    return Ok(());
                }
                run(
                    "INSERT OR REPLACE INTO portcullis_places(jail, path, firstlinemd5, lastfilepos) \
                     VALUES(?1, ?2, ?3, ?4)",
                    values,
                )
            }
            Write::Tallies { jail, anew, changes } => {
                if !*tallies {
                    if changes.iter().all(|(_, counted)| counted.is_none()) {
                        return Ok(());
                    }
                    connection.execute_batch(MAKE_TALLIES)?;
                    *tallies = true;
                }
                if *anew {
                    run("DELETE FROM portcullis_tallies WHERE jail = ?1", params![jail])?;
                }
                for (id, counted) in changes {
                    match counted {
                        Some(counted) => run(
                            "INSERT OR REPLACE INTO portcullis_tallies(jail, ip, first, last, retry, data) \
                             VALUES(?1, ?2, ?3, ?4, ?5, ?6)",
                            params![
                                jail,
                                id.text(),
                                counted.first.0,
                                counted.last.0,
                                counted.retry,
                                data::counted(counted, max_matches)
                            ],
                        )?,
                        None => run(
                            "DELETE FROM portcullis_tallies WHERE jail = ?1 AND ip = ?2",
                            params![jail, id.text()],
                        )?,
                    }
                }
                Ok(())
            }
            Write::Ban { jail, ticket, bantime } => {
                let data = data::written(ticket, max_matches).into_bytes();
                let time = ticket.time.0.round_ties_even() as i64;
                let count = ticket.bancount.max(1);
                let values = params![jail, ticket.id.text(), time, seconds(bantime), count, data];
                run(
                    "INSERT INTO bans(jail, ip, timeofban, bantime, bancount, data) \
                     VALUES(?1, ?2, ?3, ?4, ?5, ?6)",
                    values,
                )?;
                run(
                    "INSERT OR REPLACE INTO bips(jail, ip, timeofban, bantime, bancount, data) \
                     VALUES(?1, ?2, ?3, ?4, ?5, ?6)",
                    values,
                )
            }
            Write::Unban { jail, id } => {
                run("DELETE FROM bips WHERE jail = ?1 AND ip = ?2", params![jail, id])?;
                run("DELETE FROM bans WHERE jail = ?1 AND ip = ?2", params![jail, id])
            }
            Write::UnbanAll { jail } => {
                run("DELETE FROM bips WHERE jail = ?1", params![jail])?;
                run("DELETE FROM bans WHERE jail = ?1", params![jail])
            }
        }
    }
}

/// A ban time as Fail2ban binds it; SQLite makes an integer of a float that is one.
fn seconds(bantime: &Value) -> Sql {
    match bantime {
        Value::Int(seconds) => Sql::Integer(*seconds),
        Value::Float(seconds) => Sql::Real(*seconds),
        Value::Bool(truth) => Sql::Integer((*truth).into()),
        // Cannot be anybody's ban time; as long as the jail's then.
        _ => Sql::Integer(-2),
    }
}

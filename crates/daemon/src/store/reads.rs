//! What is read: bans to restore, an offender's history, positions. What still waits to be written counts as written.

use std::path::Path;

use indexmap::IndexMap;
use portcullis_jail::action::Past;
use portcullis_jail::tally::Counted;
use portcullis_jail::{History, Id, Level, LogLine, MatchedLine, Ticket, Timestamp};
use portcullis_value::Value;
use rusqlite::types::{Value as Sql, ValueRef};
use rusqlite::{Connection, OptionalExtension, Row, params};

use super::opening::line;
use super::queue::Queue;
use super::writes::JOURNAL;
use super::{Portion, Position, Restore, Write, data};

/// How many lines of an offender's past a command gets at most.
const MOST_PAST_LINES: usize = 1000;

/// A row of `bips` with its jail.
#[derive(Clone, Debug)]
struct Record {
    time: f64,
    bantime: Value,
    count: u32,
    data: Vec<u8>,
}

impl Record {
    fn read(row: &Row<'_>, first: usize) -> rusqlite::Result<Self> {
        let data = match row.get_ref(first + 3)? {
            ValueRef::Blob(bytes) | ValueRef::Text(bytes) => bytes.to_owned(),
            _ => Vec::new(),
        };
        let count = row.get::<_, Option<i64>>(first + 2)?.unwrap_or(1).max(0);
        let time = match row.get(first)? {
            Sql::Integer(time) => time as f64,
            Sql::Real(time) => time,
            _ => 0.0,
        };
        let bantime = match row.get(first + 1)? {
            Sql::Integer(seconds) => Value::Int(seconds),
            Sql::Real(seconds) => Value::Float(seconds),
            _ => Value::Int(-2),
        };
        Ok(Record { time, bantime, count: u32::try_from(count).unwrap_or(u32::MAX), data })
    }

    fn written(ticket: &Ticket, bantime: &Value) -> Self {
        Record {
            time: ticket.time.0.round_ties_even(),
            bantime: bantime.clone(),
            count: ticket.bancount.max(1),
            data: data::written(ticket, usize::MAX).into_bytes(),
        }
    }
}

/// Of the bans of a jail that still hold, sorted by the text of the identity, those of the portion, as tickets. The portion is then
/// behind the last whose turn it was: should the reading break off, it goes on from there. Answers whether there may be more.
pub(super) fn restorable(
    connection: &Connection,
    queue: &Queue,
    rule: &Restore<'_>,
    portion: &mut Portion,
    lines: &mut Vec<LogLine>,
    each: &mut dyn FnMut(Ticket),
) -> rusqlite::Result<bool> {
    let mut select = connection.prepare_cached(
        "SELECT ip, timeofban, bantime, bancount, data FROM bips WHERE jail = ?1 \
         AND (timeofban + bantime > ?2 OR bantime <= -1) AND ip > ?3 AND rowid <= ?4 ORDER BY ip LIMIT ?5",
    )?;
    // News that wait change which rows there are: then all at once.
    let waits = !queue.is_empty();
    let most = if waits { i64::MAX } else { i64::try_from(portion.most).unwrap_or(i64::MAX) };
    let (jail, now) = (rule.jail, rule.now.0);
    let mut rows = select.query(params![jail, now, portion.behind.as_str(), portion.newest, most])?;
    if !waits {
        // Nearly always, and with many bans: no more of them in memory than there will be.
        let mut told = 0;
        while let Some(row) = rows.next()? {
            portion.behind.clear();
            portion.behind.push_str(row.get_ref(0)?.as_str()?);
            rule.ticket(&portion.behind, Record::read(row, 1)?, lines).into_iter().for_each(&mut *each);
            told += 1;
        }
        return Ok(told == most);
    }
    let mut records: IndexMap<String, Record> = IndexMap::new();
    while let Some(row) = rows.next()? {
        records.insert(row.get(0)?, Record::read(row, 1)?);
    }
    overlay(&mut records, queue, |write| (&**write.jail() == rule.jail).then(|| key(write)).flatten());
    records.retain(|ip, _| *ip > portion.behind);
    records.sort_keys();
    records.into_iter().filter_map(|(ip, record)| rule.ticket(&ip, record, lines)).for_each(each);
    Ok(false)
}

/// Lets news that wait have their effect on records, keyed as `key` says (`None`: not about these).
fn overlay<K: std::hash::Hash + Eq>(
    records: &mut IndexMap<K, Record>,
    queue: &Queue,
    key: impl Fn(&Write) -> Option<K>,
) {
    for write in queue.batches().flatten() {
        match write {
            Write::Ban { ticket, bantime, .. } => {
                records.extend(key(write).map(|key| (key, Record::written(ticket, bantime))));
            }
            Write::Unban { .. } => {
                key(write).map(|key| records.shift_remove(&key));
            }
            Write::UnbanAll { .. } if key(write).is_some() => records.clear(),
            _ => {}
        }
    }
}

fn key(write: &Write) -> Option<String> {
    match write {
        Write::Ban { ticket, .. } => Some(ticket.id.text().to_owned()),
        Write::Unban { id, .. } => Some(id.clone()),
        Write::UnbanAll { .. } => Some(String::new()),
        _ => None,
    }
}

impl Restore<'_> {
    /// The ticket of a row, or nothing when its ban is over under today's settings.
    fn ticket(&self, ip: &str, record: Record, lines: &mut Vec<LogLine>) -> Option<Ticket> {
        let remembered = data::read(&record.data).unwrap_or_else(|error| {
            if !record.data.is_empty() {
                lines.push(line(Level::ERROR, format!("json loads failed: {error}")));
            }
            data::Remembered::default()
        });
        let base = number(self.bantime);
        let stored = number(&record.bantime);
        let permanent_base = base == -1.0;
        // Differs: somebody asked for this very time (`portcullis ban --for`).
        let asked = remembered.data.contains_key(portcullis_jail::jail::FOR);
        // Without increment, a ban longer than the jail's is cut to that, and one older than it is over; with it, a
        // ban is cut to `maxtime`.
        let limit = match (self.increment, &self.maxtime) {
            _ if permanent_base || asked => None,
            (false, _) => Some(self.bantime),
            (true, maxtime) => maxtime.as_ref(),
        };
        let plain = !self.increment && !permanent_base && !asked;
        let age = self.now.0 - record.time;
        let bantime = match stored {
            // Unknown: written by a version that did not keep it.
            -2.0 => self.bantime.clone(),
            // Differs: Fail2ban gives a permanent ban the limit, counted from its old begin, or drops it as too old.
            stored if stored <= -1.0 => Value::Int(-1),
            stored => match limit {
                Some(limit) if stored > number(limit) => limit.clone(),
                _ => record.bantime,
            },
        };
        let permanent = number(&bantime) == -1.0;
        if !permanent && plain && age >= base {
            return None;
        }
        if !permanent && record.time + number(&bantime) < self.now.0 {
            let text = format!("ignore ticket (with new max ban-time {bantime}): {ip}");
            lines.push(line(Level::DEBUG, text));
            return None;
        }
        Some(Ticket {
            ip: remembered.ip,
            bantime: Some(bantime),
            // This one is the next, as Fail2ban counts.
            bancount: record.count.saturating_add(1),
            failures: remembered.failures,
            matches: remembered.matches,
            data: remembered.data,
            restored: true,
            ..Ticket::by_hand(Id::new(ip), Timestamp(record.time))
        })
    }
}

fn number(value: &Value) -> f64 {
    match value {
        Value::Int(whole) => *whole as f64,
        Value::Float(float) => *float,
        _ => 0.0,
    }
}

/// Earlier bans of an offender, in one jail or in all.
pub(super) fn history(
    connection: Option<&Connection>,
    queue: &Queue,
    jail: &str,
    id: &str,
    all_jails: bool,
) -> rusqlite::Result<Option<History>> {
    let mut records: IndexMap<String, Record> = IndexMap::new();
    if let Some(connection) = connection {
        let mut select = connection.prepare_cached(
            "SELECT jail, timeofban, bantime, bancount, NULL FROM bips WHERE ip = ?1 AND (?3 OR jail = ?2)",
        )?;
        let mut rows = select.query(params![id, jail, all_jails])?;
        while let Some(row) = rows.next()? {
            records.insert(row.get(0)?, Record::read(row, 1)?);
        }
    }
    for write in queue.batches().flatten().filter(|write| all_jails || &**write.jail() == jail) {
        let jail = write.jail().to_string();
        match write {
            Write::Ban { ticket, bantime, .. } if ticket.id.text() == id => {
                records.insert(jail, Record::written(ticket, bantime));
            }
            Write::Unban { id: gone, .. } if gone == id => drop(records.shift_remove(&jail)),
            Write::UnbanAll { .. } => drop(records.shift_remove(&jail)),
            _ => {}
        }
    }
    let count = records.values().fold(0_u32, |sum, record| sum.saturating_add(record.count));
    let newest = records.into_values().max_by(|a, b| a.time.total_cmp(&b.time));
    Ok(newest.map(|newest| History { count, last: Timestamp(newest.time), bantime: newest.bantime }))
}

/// How far a log was read.
pub(super) fn position(
    connection: Option<&Connection>,
    queue: &Queue,
    jail: &str,
    path: &Path,
) -> rusqlite::Result<Option<Position>> {
    let waiting = queue.batches().rev().flat_map(|batch| batch.iter().rev()).find_map(|write| match write {
        Write::Log { jail: j, path: p, position } if &**j == jail && &**p == path => Some(position.clone()),
        _ => None,
    });
    let (None, Some(connection)) = (&waiting, connection) else { return Ok(waiting) };
    let path = path.to_string_lossy();
    connection
        .prepare_cached("SELECT firstlinemd5, lastfilepos FROM logs WHERE jail = ?1 AND path = ?2")?
        .query_row(params![jail, path], |row| {
            let position = match row.get(1)? {
                Sql::Integer(seconds) if path == JOURNAL => seconds.max(0) as u64 * 1_000_000,
                Sql::Real(seconds) if path == JOURNAL => (seconds.max(0.0) * 1e6).round() as u64,
                Sql::Integer(bytes) => bytes.max(0) as u64,
                Sql::Real(bytes) => bytes.max(0.0) as u64,
                _ => 0,
            };
            Ok(Position { first_line: row.get::<_, Option<String>>(0)?.unwrap_or_default(), position })
        })
        .optional()
}

/// Whether the logs of a jail stand where they stood when its tallies were written.
pub(super) fn tallies_hold(connection: &Connection, jail: &str) -> rusqlite::Result<bool> {
    let elsewhere = "SELECT EXISTS(SELECT 1 FROM portcullis_places AS ours WHERE ours.jail = ?1 AND NOT EXISTS(\
                     SELECT 1 FROM logs WHERE logs.jail = ours.jail AND logs.path = ours.path \
                     AND logs.firstlinemd5 IS ours.firstlinemd5 AND logs.lastfilepos IS ours.lastfilepos))";
    connection.query_row(elsewhere, [jail], |row| row.get::<_, bool>(0)).map(|elsewhere| !elsewhere)
}

/// Who failed after `since`, at most so many, the last ones.
pub(super) fn tallies(
    connection: &Connection,
    jail: &str,
    since: f64,
    most: usize,
) -> rusqlite::Result<Vec<(Id, Counted)>> {
    let mut select = connection.prepare(
        "SELECT ip, first, last, retry, data FROM portcullis_tallies WHERE jail = ?1 AND last > ?2 \
         ORDER BY last DESC LIMIT ?3",
    )?;
    let most = i64::try_from(most).unwrap_or(i64::MAX);
    let mut rows = select.query(params![jail, since, most])?;
    let mut tallies = Vec::new();
    while let Some(row) = rows.next()? {
        let (first, last) = (Timestamp(row.get(1)?), Timestamp(row.get(2)?));
        let remembered = match row.get_ref(4)? {
            ValueRef::Blob(bytes) | ValueRef::Text(bytes) => data::read(bytes).unwrap_or_default(),
            _ => data::Remembered::default(),
        };
        let data::Remembered { matches, failures, ip, data } = remembered;
        let counted = Counted { ip, first, last, retry: row.get(3)?, failures, matches, data };
        tallies.push((Id::new(&row.get::<_, String>(0)?), counted));
    }
    // In the order in which they failed.
    tallies.reverse();
    Ok(tallies)
}

/// Lines and failures of all bans of an offender that are still on record.
pub(super) fn past(connection: &Connection, jail: Option<&str>, id: &str) -> rusqlite::Result<Past> {
    let mut select = connection.prepare_cached(
        "SELECT data FROM bans WHERE ip = ?1 AND (?2 IS NULL OR jail = ?2) ORDER BY timeofban, rowid",
    )?;
    let mut past = Past::default();
    let mut rows = select.query(params![id, jail])?;
    while let Some(row) = rows.next()? {
        let (ValueRef::Blob(bytes) | ValueRef::Text(bytes)) = row.get_ref(0)? else { continue };
        let Ok(remembered) = data::read(bytes) else { continue };
        past.failures += u64::from(remembered.failures);
        past.matches.extend(remembered.matches.iter().map(MatchedLine::line));
        let excess = past.matches.len().saturating_sub(MOST_PAST_LINES);
        past.matches.drain(..excess);
    }
    Ok(past)
}

//! TEMPORARY
use crate::log::Log;
use indexmap::IndexMap;
use portcullis_jail::{History, Id, Ticket, Timestamp, action::Past, ban::increment::Increment};
use portcullis_value::{Number, Value};
use std::path::Path;
use std::sync::Arc;
#[derive(Clone)]
pub(crate) struct Store;
#[derive(Clone)]
pub(crate) struct Position {
    pub(crate) first_line: String,
    pub(crate) position: u64,
}
impl Store {
    pub(crate) fn start(_l: Log) -> std::io::Result<Self> {
        Ok(Store)
    }
    pub(crate) fn close(&self) {}
    pub(crate) fn report(&self) -> Value {
        Value::None
    }
    pub(crate) fn file(&self) -> Option<String> {
        None
    }
    pub(crate) fn open(&self, _f: Option<&str>) {}
    pub(crate) fn purge_age(&self) -> Value {
        Value::None
    }
    pub(crate) fn set_purge_age(&self, _n: Number) {}
    pub(crate) fn max_matches(&self) -> Value {
        Value::None
    }
    pub(crate) fn set_max_matches(&self, _n: i64) {}
    pub(crate) fn jail_started(&self, _j: &str) {}
    pub(crate) fn jail_stopped(&self, _j: &str) {}
    pub(crate) fn restorable(&self, _j: &str, _b: &Value, _i: &Increment, _n: Timestamp) -> Vec<Ticket> {
        vec![]
    }
    pub(crate) fn position(&self, _j: &str, _p: &Path) -> Option<Position> {
        None
    }
    pub(crate) fn positions(&self, _j: &str, _p: IndexMap<Arc<Path>, Position>) {}
    pub(crate) fn banned(&self, _j: &str, _t: &Ticket, _b: &Value, _p: IndexMap<Arc<Path>, Position>) {}
    pub(crate) fn unbanned(&self, _j: &str, _ids: &[Id], _asked: &Id) {}
    pub(crate) fn all_unbanned(&self, _j: &str) {}
    pub(crate) fn history(&self, _j: &str, _id: &Id, _o: bool) -> Option<History> {
        None
    }
    pub(crate) fn past(&self, _j: &str, _id: &Id, _all: bool) -> Past {
        Past::default()
    }
}

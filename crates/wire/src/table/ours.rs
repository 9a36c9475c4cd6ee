//! What `portcullis` asks its server. Names that Fail2ban does not have, and that its help does not tell.

use super::{At, Entry, Type};
use crate::request::{self, Ours, Request};
use crate::show::Show;

pub(super) static ENTRIES: &[Entry] = &[
    Entry {
        name: "portcullis-report",
        at: At::Server(|_| Ok(Request::Ours(Ours::Report))),
        reply: Type::Dict(&Type::Any),
        show: Show::Text,
        forms: &[],
    },
    Entry {
        name: "portcullis-restart",
        at: At::Server(|_| Ok(Request::Ours(Ours::Restart))),
        reply: Type::Bool,
        show: Show::Hidden,
        forms: &[],
    },
    Entry {
        name: "portcullis-ban",
        at: At::Server(|w| request::ban(w).map(Request::Ours)),
        reply: Type::List(&Type::Dict(&Type::Any)),
        show: Show::Text,
        forms: &[],
    },
    Entry {
        name: "portcullis-unban",
        at: At::Server(|w| request::unban(w).map(Request::Ours)),
        reply: Type::List(&Type::Dict(&Type::Any)),
        show: Show::Text,
        forms: &[],
    },
    Entry {
        name: "portcullis-banned",
        at: At::Server(|w| request::banned(w).map(Request::Ours)),
        reply: Type::List(&Type::Dict(&Type::Any)),
        show: Show::Text,
        forms: &[],
    },
    Entry {
        name: "portcullis-bans",
        at: At::Server(|w| request::bans(w).map(Request::Ours)),
        reply: Type::List(&Type::Dict(&Type::Any)),
        show: Show::Text,
        forms: &[],
    },
    Entry {
        name: "portcullis-explain",
        at: At::Server(|w| request::explain(w).map(Request::Ours)),
        reply: Type::List(&Type::Dict(&Type::Any)),
        show: Show::Text,
        forms: &[],
    },
    Entry {
        name: "portcullis-events",
        at: At::Server(|w| request::events(w).map(Request::Ours)),
        reply: Type::Dict(&Type::Any),
        show: Show::Text,
        forms: &[],
    },
];

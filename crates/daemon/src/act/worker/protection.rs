//! What an action closes to a banned address, as far as we know its commands; and whether open connections end with the ban.

use std::sync::Arc;

use ipnet::IpNet;
use portcullis_jail::action::Action;
use portcullis_jail::{Family, Id};

use super::Carriage;
use super::choose::own;
use crate::act::nft::Parameters;
use crate::act::preflight::{self, Known};
use crate::act::sockets::Guarded;
use crate::log::Log;

/// What is closed to banned addresses, and how.
#[derive(Clone, Debug, Default)]
pub(crate) struct Protection {
    /// The ports; `None` when the action is nothing that we know.
    pub(crate) guarded: Option<Arc<Guarded>>,
    /// Whether open connections are ended.
    pub(crate) closes: bool,
    /// Whether it is our own action, which stands before everything else.
    pub(crate) own: bool,
    /// Otherwise the firewall that it is, by family.
    pub(crate) known: Vec<(Family, Known)>,
}

impl Protection {
    /// What this action would close.
    pub(super) fn of(action: &Action, carriage: &Carriage) -> Self {
        let asked = carriage.settings.closeconnections;
        if let Some(Ok(parameters)) = own(action, &carriage.shelter) {
            let guarded = Some(Arc::new(Guarded::from(&parameters)));
            return Protection { guarded, closes: asked.unwrap_or(true), own: true, known: Vec::new() };
        }
        let families = [Family::Inet4, Family::Inet6].into_iter();
        let known: Vec<_> =
            families.filter_map(|family| Some((family, preflight::recognise(action, family)?))).collect();
        let parameters = known
            .first()
            .and_then(|(_, known)| Parameters::replacing("", known, carriage.shelter.services()).ok());
        let guarded = parameters.as_ref().map(|parameters| Arc::new(Guarded::from(parameters)));
        Protection { closes: guarded.is_some() && asked.unwrap_or(false), guarded, own: false, known }
    }

    /// Ends the open connections of those who are locked out now.
    pub(super) fn close(&self, jail: &str, ids: &[Id], carriage: &Carriage, log: &Log) {
        let Some(guarded) = self.guarded.as_ref().filter(|_| self.closes) else { return };
        let whose: Vec<IpNet> = ids.iter().filter_map(Id::net).collect();
        if let Some(closer) = carriage.shelter.closer().filter(|_| !whose.is_empty()) {
            closer.close(jail, whose, guarded, log);
        }
    }
}

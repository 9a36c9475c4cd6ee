//! How an action is carried out: natively where we know exactly what its commands do, natively in its place where its
//! program is not installed, else by its commands in a shell.

use std::sync::Arc;

use portcullis_jail::Family;
use portcullis_jail::action::{Action, Facts, Info, Operation};

use super::carrier::Carrier;
use super::kernel::{InKernel, Rules};
use super::protection::Protection;
use super::{Carriage, Shelter};
use crate::act::mail::Mailer;
use crate::act::nft::{self, DefaultAction, Parameters, Stock, Tool};
use crate::act::preflight::{self, Kind, Known};
use crate::log::Log;

const FAMILIES: [Family; 2] = [Family::Inet4, Family::Inet6];

impl Carrier {
    /// Decides how `action` is carried out, and says what the administrator should know about that.
    pub(super) fn choose(
        jail: &str,
        action: Action,
        carriage: &Carriage,
        facts: &dyn Facts,
        log: &Log,
    ) -> Self {
        if action.python_file().is_some()
            && let Ok(mailer) = Mailer::new(&action.parameters())
        {
            return Carrier::by_mail(action.name(), mailer);
        }
        let protection = Protection::of(&action, carriage);
        let mut carrier = Self::chosen(jail, action, carriage, facts, log);
        carrier.protection = protection;
        carrier
    }

    fn chosen(jail: &str, action: Action, carriage: &Carriage, facts: &dyn Facts, log: &Log) -> Self {
        let shelter = &carriage.shelter;
        let name = action.name().to_owned();
        match own(&action, shelter) {
            Some(Ok(parameters)) => {
                let rules = Rules::Own(Box::new(DefaultAction::new(parameters)));
                let kernel = InKernel { rules, shelter: Arc::clone(shelter), label: "nftables" };
                return Carrier::in_kernel(&name, kernel);
            }
            Some(Err(error)) => {
                let finding = format!("jail '{jail}': action '{name}' cannot work: {error}");
                log.error("actions", finding.clone());
                return Carrier::in_shell(jail, action, shelter, &[], false, Some(finding));
            }
            None => {}
        }
        let stock = stock(&action, shelter, facts);
        if carriage.settings.nativeactions
            && let Some(parts) = &stock
            && parts.iter().all(|part| is_genuine_or_missing(part.program()))
        {
            let rules = Rules::Stock(stock.unwrap_or_default());
            let kernel = InKernel { rules, shelter: Arc::clone(shelter), label: "nftables, natively" };
            return Carrier::in_kernel(&name, kernel);
        }
        let missing = preflight::check(jail, &action, &preflight::Path::own());
        let recognise = |family: Family| Some((family, preflight::recognise(&action, family)?));
        let known: Vec<(Family, Known)> = FAMILIES.into_iter().filter_map(recognise).collect();
        let worst = missing.iter().min_by_key(|missing| (!missing.for_bans, missing.program.len()));
        if let Some(first) = worst {
            if carriage.settings.fallback
                && let Some(own) = known.first().and_then(|(_, known)| in_its_place(jail, known, shelter))
            {
                let text = format!(
                    "{first}. Until then nftables does its work natively (fallback = false in portcullis.conf turns this off)"
                );
                log.warning("actions", text);
                let rules = Rules::Own(Box::new(own));
                let shelter = Arc::clone(shelter);
                let label = "nftables, natively, in place of a missing program";
                return Carrier::in_kernel(&name, InKernel { rules, shelter, label });
            }
            for missing in &missing {
                log.error("actions", missing.to_string());
            }
        }
        let finding = missing.first().map(ToString::to_string);
        Carrier::in_shell(jail, action, shelter, &known, carriage.settings.nativeactions, finding)
    }
}

/// What our own action, whose commands no shell runs, is to guard.
pub(super) fn own(action: &Action, shelter: &Shelter) -> Option<Result<Parameters, nft::Error>> {
    nft::guard(&action.expanded(Operation::Start, None).ok()?, shelter.services())
}

/// Only what the genuine `nft` would do is done in its place. A script of this name does what only it knows.
fn is_genuine_or_missing(program: &str) -> bool {
    let path = std::env::var_os("PATH");
    match nft::resolve(program, path.as_deref()) {
        Tool::Missing => true,
        Tool::Genuine(_, name) => name == "nft",
        Tool::Foreign(_) => false,
    }
}

/// The action as a stock nftables action, if all its scripts have that shape.
fn stock(action: &Action, shelter: &Shelter, facts: &dyn Facts) -> Option<Vec<Stock>> {
    let part = |family: Family| {
        let script = |operation| -> Option<String> {
            let text = action.expanded(operation, Some(family)).ok()?;
            // Tags that every command may have, and whose values do not depend on the ban.
            let script = portcullis_jail::action::script(&text, &Info::nobody(family.name(), facts));
            Some(if text.contains("<ip>") { text.to_string() } else { script.text })
        };
        let (start, stop) = (script(Operation::Start)?, script(Operation::Stop)?);
        let (flush, check) = (script(Operation::Flush)?, script(Operation::Check)?);
        let (ban, unban) = (script(Operation::Ban)?, script(Operation::Unban)?);
        let scripts = nft::Scripts {
            start: &start,
            stop: &stop,
            flush: &flush,
            check: &check,
            ban: &ban,
            unban: &unban,
            offender: "<ip>",
        };
        Stock::recognise(&scripts, shelter.services())
    };
    let prolongs = action.has(Operation::Prolong) || action.has(Operation::Reload);
    if prolongs || !action.start_on_demand() {
        return None;
    }
    FAMILIES.into_iter().map(part).collect()
}

/// Our own action with the ports and protocols of a known iptables action.
fn in_its_place(jail: &str, known: &Known, shelter: &Shelter) -> Option<DefaultAction> {
    if !matches!(known.kind, Kind::Chain | Kind::Ipset) {
        return None;
    }
    let parameters = Parameters::replacing(jail, known, shelter.services());
    parameters.ok().map(DefaultAction::new)
}

//! Whether a ban that a shell command made is really in the kernel. A command that exits with 0 proves nothing.

use portcullis_jail::Id;

use super::shelter::Shelter;
use crate::act::nft::{Stock, Wanted};
use crate::act::preflight::Known;

/// How bans of an action are found in the kernel.
pub(super) enum Readback {
    /// In the sets of a stock nftables action, by family.
    Sets(Vec<Stock>),
}

impl Readback {
    pub(super) fn of(stock: Option<Vec<Stock>>, _known: Option<Known>) -> Option<Self> {
        stock.map(Readback::Sets)
    }

    /// Which of these bans are not in force, and why the first is not.
    ///
    /// # Errors
    /// Why nothing can be said: then none counts as enforced.
    pub(super) fn missing(&self, ids: &[Id], shelter: &Shelter) -> Result<Vec<(Id, String)>, String> {
        match self {
            Readback::Sets(parts) => {
                let mut missing = Vec::new();
                for id in ids.iter().filter(|id| !parts.iter().any(|part| Some(part.family()) == id.family()))
                {
                    missing.push((id.clone(), format!("'{id}' is no address")));
                }
                for part in parts {
                    let mine: Vec<Wanted> = ids
                        .iter()
                        .filter(|id| id.family() == Some(part.family()))
                        .map(|id| (id.clone(), None))
                        .collect();
                    if mine.is_empty() {
                        continue;
                    }
                    let difference = shelter.with(|firewall| part.verify(firewall, &mine));
                    let difference = difference.map_err(|error| error.to_string())?;
                    if let Some(lost) = difference.structure.first() {
                        missing.extend(
                            mine.into_iter().map(|(id, _)| (id, format!("the kernel has no {lost}"))),
                        );
                    } else {
                        let lost = difference.missing.into_iter();
                        missing.extend(lost.map(|id| (id, "it is not in the kernel's set".to_owned())));
                    }
                }
                Ok(missing)
            }
        }
    }
}

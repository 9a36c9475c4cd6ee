//! Whether a ban that a shell command made is really in the kernel. A command that exits with 0 proves nothing.

use portcullis_jail::Id;

use super::shelter::Shelter;
use crate::act::nft::Stock;
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

    /// Looks for a ban.
    ///
    /// # Errors
    /// Why it does not count as enforced.
    pub(super) fn holds(&self, id: &Id, shelter: &Shelter) -> Result<(), String> {
        match self {
            Readback::Sets(parts) => {
                let part = parts.iter().find(|part| Some(part.family()) == id.family());
                let part = part.ok_or_else(|| format!("'{id}' is no address"))?;
                let difference = shelter.with(|firewall| part.verify(firewall, &[(id.clone(), None)]));
                let difference = difference.map_err(|error| error.to_string())?;
                match difference.structure.first() {
                    Some(missing) => Err(format!("the command succeeded, but the kernel has no {missing}")),
                    None if difference.missing.is_empty() => Ok(()),
                    None => Err(format!("the command succeeded, but {id} is not in the kernel's set")),
                }
            }
        }
    }
}

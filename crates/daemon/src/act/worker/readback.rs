//! Whether bans that shell commands made are really in the kernel. A command that exits with 0 proves nothing.

use portcullis_jail::{Family, Id};

use super::shelter::Shelter;
use crate::act::nft;
use crate::act::preflight::Known;

/// Where the bans of an action are found in the kernel, by family.
pub(super) struct Readback {
    families: Vec<(Family, nft::Readback)>,
}

/// What is not as it should be.
#[derive(Default)]
pub(super) struct Lost {
    /// The first chain, set or rule that is not there: then no ban is in force.
    pub(super) structure: Option<String>,
    /// Bans that are not in force, and why.
    pub(super) bans: Vec<(Id, String)>,
}

impl Readback {
    /// For an action of a kind that we know; `None` when nothing of it can be read back.
    pub(super) fn of(known: &[(Family, Known)]) -> Option<Self> {
        let path = std::env::var_os("PATH");
        let place = |(family, known): &(Family, Known)| {
            Some((*family, nft::Readback::of(known, *family, path.as_deref())?))
        };
        let families: Vec<_> = known.iter().filter_map(place).collect();
        (!families.is_empty()).then_some(Readback { families })
    }

    /// Which of these bans are not in force, and why.
    ///
    /// # Errors
    /// Why nothing can be said: then none counts as enforced.
    pub(super) fn missing(&self, ids: &[Id], shelter: &Shelter) -> Result<Lost, String> {
        let of_none =
            ids.iter().filter(|id| !self.families.iter().any(|(family, _)| Some(*family) == id.family()));
        let mut lost = Lost::default();
        let nowhere = "it is no address of a family that the action knows";
        lost.bans.extend(of_none.map(|id| (id.clone(), nowhere.to_owned())));
        for (family, place) in &self.families {
            let mine: Vec<Id> = ids.iter().filter(|id| id.family() == Some(*family)).cloned().collect();
            if mine.is_empty() {
                continue;
            }
            let difference = shelter.with(|firewall| place.verify(firewall, &mine));
            let difference = difference.map_err(|error| error.to_string())?;
            if let Some(part) = difference.structure.into_iter().next() {
                lost.bans.extend(mine.into_iter().map(|id| (id, format!("the kernel has no {part}"))));
                lost.structure.get_or_insert(part);
            } else {
                let missing = difference.missing.into_iter();
                lost.bans.extend(missing.map(|id| (id, "the kernel does not have it".to_owned())));
            }
        }
        Ok(lost)
    }
}

//! Whether bans that shell commands made are really in the kernel. A command that exits with 0 proves nothing.

use ipnet::IpNet;
use portcullis_jail::{Family, Id};

use super::shelter::Shelter;
use crate::act::nft;
use crate::act::preflight::Known;

/// So many at most are read back between others' bans.
const FEW: usize = 64;

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
            let look = |firewall: &mut nft::Firewall| place.verify(firewall, &mine);
            // What takes its time is read through a socket of its own.
            // Where others change something all the time, it is not whole.
            let aside = if mine.len() > FEW { shelter.read(look).ok() } else { None };
            let difference = aside.map_or_else(|| shelter.with(look), Ok);
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

    /// Whether chain or set is there for a family, and what leads to it.
    pub(super) fn stands(&self, family: Family, shelter: &Shelter) -> bool {
        let mine = self.families.iter().filter(|(other, _)| *other == family);
        mine.map(|(_, place)| shelter.with(|firewall| place.verify(firewall, &[])))
            .any(|difference| difference.is_ok_and(|difference| difference.structure.is_empty()))
    }

    /// The chains and sets, in their tools' words.
    pub(super) fn places(&self) -> Vec<String> {
        self.families.iter().map(|(_, place)| place.place()).collect()
    }

    /// Those of `ids` that are in the kernel by themselves.
    ///
    /// # Errors
    /// Why nothing can be said.
    pub(super) fn standing(&self, ids: &[Id], shelter: &Shelter) -> Result<Vec<Id>, String> {
        let mut standing = Vec::new();
        for (place, mine) in self.by_family(ids) {
            standing
                .extend(shelter.with(|firewall| place.standing(firewall, &mine)).map_err(|e| e.to_string())?);
        }
        Ok(standing)
    }

    /// Takes these out of the kernel, all copies.
    ///
    /// # Errors
    /// Why they are not out.
    pub(super) fn lift(&self, ids: &[Id], shelter: &Shelter) -> Result<(), String> {
        self.by_family(ids).try_for_each(|(place, mine)| {
            shelter.with(|firewall| place.lift(firewall, &mine)).map_err(|error| error.to_string())
        })
    }

    /// Leaves one rule or member for each ban that `keep` names, and nothing else. Answers how many were taken away.
    ///
    /// # Errors
    /// Why they could not be.
    pub(super) fn leave(&self, keep: &dyn Fn(&IpNet) -> bool, shelter: &Shelter) -> Result<usize, String> {
        let mut surplus = 0;
        for (_, place) in &self.families {
            surplus +=
                shelter.with(|firewall| place.leave(firewall, keep)).map_err(|error| error.to_string())?;
        }
        Ok(surplus)
    }

    fn by_family<'a>(&'a self, ids: &'a [Id]) -> impl Iterator<Item = (&'a nft::Readback, Vec<Id>)> {
        self.families.iter().filter_map(|(family, place)| {
            let mine: Vec<Id> = ids.iter().filter(|id| id.family() == Some(*family)).cloned().collect();
            (!mine.is_empty()).then_some((place, mine))
        })
    }
}

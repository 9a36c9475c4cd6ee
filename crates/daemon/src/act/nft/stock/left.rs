//! What a restart leaves in the kernel for the next server, and what becomes of it if that has no use for it.
//!
//! The note about it stands in the kernel as well, in a table of its own: it lasts as long as what it tells of, not longer.
//! A chain without rules is named like what was left: `inet/f2b-table/f2b-chain/addr-set-sshd`.

use super::Stock;
use super::recognise::Parts;
use crate::act::nft::batch::Batch;
use crate::act::nft::error::Error;
use crate::act::nft::expression::Expression;
use crate::act::nft::firewall::Firewall;
use crate::act::nft::object::{Chain, KernelRule, Table, TableFamily};

/// Where the notes are.
const NOTES: &str = "portcullis-left";
/// The longest name of a chain.
const LONGEST: usize = 255;

impl Stock {
    /// Notes that all this stays, for the server that follows. False where the note cannot be written.
    ///
    /// # Errors
    /// [`Error::Refused`]: nothing has been changed then.
    pub fn leave(&self, firewall: &mut Firewall) -> Result<bool, Error> {
        let Parts { table, chain, set, .. } = &self.parts;
        let sets = firewall.sets(table)?;
        if !sets.iter().any(|other| other.name == set.name) {
            return Ok(true);
        }
        let names = [table.family.name(), &table.name, &chain.name, &set.name];
        let note = names.join("/");
        let plain = names.iter().all(|name| !name.contains('/')) && note.len() <= LONGEST;
        if !plain {
            return Ok(false);
        }
        let mut batch = Batch::default();
        batch.add_table(&notes());
        batch.add_chain(&notes(), &Chain { name: note, hook: None });
        firewall.commit(batch)?;
        Ok(true)
    }
}

/// Takes away what a restart has left and nobody claims: a jail may be there no more, or ban in another way. `claimed` is
/// asked with [`Stock::place`]. Answers how many sets it was.
///
/// # Errors
/// When the kernel refuses: what was not taken away is noted still.
pub fn clear_left(firewall: &mut Firewall, claimed: &dyn Fn(&str) -> bool) -> Result<usize, Error> {
    if firewall.table_flags(&notes())?.is_none() {
        return Ok(0);
    }
    let mut cleared = 0;
    for note in firewall.chains(&notes())? {
        let [family, table, chain, set] = note.name.split('/').collect::<Vec<_>>()[..] else { continue };
        let Some(family) = TableFamily::parse(family) else { continue };
        let table = Table { family, name: table.to_owned() };
        if !claimed(&place(&table, set)) {
            let batch = removal(firewall, &table, chain, set)?;
            match firewall.commit(batch) {
                // Somebody was faster.
                Err(error) if error.is_missing() => {}
                other => other.map(|()| cleared += 1)?,
            }
        }
    }
    let mut batch = Batch::default();
    batch.delete_table(&notes());
    firewall.commit(batch)?;
    Ok(cleared)
}

/// A set, in `nft`'s words.
pub(super) fn place(table: &Table, set: &str) -> String {
    format!("set {table} {set}")
}

/// Takes away a set with the rules that look it up, and the table if no set is left in it.
pub(super) fn removal(
    firewall: &mut Firewall,
    table: &Table,
    chain: &str,
    set: &str,
) -> Result<Batch, Error> {
    let sets = firewall.sets(table)?;
    let mut batch = Batch::default();
    for rule in looking_up(firewall, table, chain, set)? {
        batch.delete_rule(table, chain, rule.handle);
    }
    let others = sets.iter().any(|other| other.name != set && !other.is_anonymous());
    batch.delete_set(table, set);
    if !others {
        batch.delete_table(table);
    }
    Ok(batch)
}

/// The rules of a chain that look up a set.
pub(super) fn looking_up(
    firewall: &mut Firewall,
    table: &Table,
    chain: &str,
    set: &str,
) -> Result<Vec<KernelRule>, Error> {
    let lookup = Expression::Lookup(set.to_owned());
    let mut rules = firewall.rules(table, chain)?;
    rules.retain(|rule| rule.rule.expressions.contains(&lookup));
    Ok(rules)
}

fn notes() -> Table {
    Table { family: TableFamily::Inet, name: NOTES.to_owned() }
}

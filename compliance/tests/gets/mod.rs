//! What can be asked of a jail without further words: `get JAIL …`, from the command table.

use portcullis_wire::table::{Place, entries};

/// The options that `bantime.` stands for.
const BAN_TIME: [&str; 7] =
    ["increment", "factor", "formula", "multipliers", "maxtime", "rndtime", "overalljails"];

/// All of them, in the table's order.
pub(crate) fn plain() -> Vec<String> {
    let rows = entries().filter(|entry| entry.place() == Place::JailGet);
    let plain = rows.filter(|entry| {
        entry.forms.is_empty() || entry.forms.iter().any(|form| form.list().iter().all(|word| word.optional))
    });
    let names = plain.flat_map(|entry| match entry.name {
        "bantime." => BAN_TIME.iter().map(|option| format!("bantime.{option}")).collect(),
        name => vec![name.to_owned()],
    });
    names.collect()
}

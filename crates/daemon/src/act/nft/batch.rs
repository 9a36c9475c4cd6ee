//! A transaction: everything in it comes into force at once, or nothing does.

use super::encode::Writer;
use super::error::Error;
use super::expression::{AnonymousSet, Expression};
use super::object::{Chain, Element, Rule, Set, Table, octets};
use super::uapi::{
    ELEM_INTERVAL_END, NAME_LIMIT, NFNL_MSG_BATCH_BEGIN, NFNL_MSG_BATCH_END, NFNL_SUBSYS_NFTABLES,
    NLM_F_APPEND, NLM_F_CREATE, NLM_F_REQUEST, attr, message,
};

/// Elements in one message: a list may have 65,535 bytes, an element of an IPv6 interval set with time-out has 72.
pub(super) const ELEMENTS_A_MESSAGE: usize = 900;

/// `NFTNL_UDATA_SET_KEYBYTEORDER` = network order, as `nft` notes for itself.
const SET_USERDATA: [u8; 6] = [0, 4, 2, 0, 0, 0];
/// `NFTNL_UDATA_SET_ELEM_FLAGS` = `SET_ELEM_F_INTERVAL_OPEN`: by it `nft` lists a range up to the highest key.
const OPEN_INTERVAL: [u8; 6] = [1, 4, 1, 0, 0, 0];

/// A transaction under construction. [`Firewall::commit`](super::Firewall::commit) carries it out.
#[derive(Clone, Debug)]
pub struct Batch {
    writer: Writer,
    starts: Vec<usize>,
    what: Vec<String>,
    sets: u32,
    bad_name: Option<String>,
}

impl Default for Batch {
    fn default() -> Self {
        let mut batch = Batch {
            writer: Writer::default(),
            starts: Vec::new(),
            what: Vec::new(),
            sets: 0,
            bad_name: None,
        };
        batch.bracket(NFNL_MSG_BATCH_BEGIN);
        batch
    }
}

impl Batch {
    /// Makes the table, unless it is there.
    pub fn add_table(&mut self, table: &Table) {
        self.push(format!("add table {table}"), message::NEWTABLE, NLM_F_CREATE, table, |w| {
            w.text(attr::table::NAME, &table.name);
            w.be32(attr::table::FLAGS, 0);
        });
    }

    /// Deletes the table with all that is in it.
    pub fn delete_table(&mut self, table: &Table) {
        self.push(format!("delete table {table}"), message::DELTABLE, 0, table, |w| {
            w.text(attr::table::NAME, &table.name);
        });
    }

    /// Makes the chain, unless it is there.
    pub fn add_chain(&mut self, table: &Table, chain: &Chain) {
        self.check_name(&chain.name);
        let what = format!("add chain {table} {}", chain.name);
        self.push(what, message::NEWCHAIN, NLM_F_CREATE, table, |w| {
            w.text(attr::chain::TABLE, &table.name);
            w.text(attr::chain::NAME, &chain.name);
            if let Some(hook) = &chain.hook {
                w.nest(attr::chain::HOOK, |w| {
                    w.be32(attr::hook::NUM, hook.number);
                    w.be32(attr::hook::PRIORITY, hook.priority as u32);
                });
                w.text(attr::chain::TYPE, &hook.kind);
            }
        });
    }

    /// Deletes the chain. It must be empty.
    pub fn delete_chain(&mut self, table: &Table, chain: &str) {
        self.push(format!("delete chain {table} {chain}"), message::DELCHAIN, 0, table, |w| {
            w.text(attr::chain::TABLE, &table.name);
            w.text(attr::chain::NAME, chain);
        });
    }

    /// Makes the set, unless it is there. One of the same name and other properties is refused (EEXIST).
    pub fn add_set(&mut self, table: &Table, set: &Set) {
        self.check_name(&set.name);
        self.sets += 1;
        let id = self.sets;
        let (key_type, length) = set.key.number_and_length();
        let what = format!("add set {table} {}", set.name);
        self.push(what, message::NEWSET, NLM_F_CREATE, table, |w| {
            w.text(attr::set::TABLE, &table.name);
            w.text(attr::set::NAME, &set.name);
            w.be32(attr::set::FLAGS, set.flags());
            w.be32(attr::set::KEY_TYPE, key_type);
            w.be32(attr::set::KEY_LEN, length);
            w.be32(attr::set::ID, id);
            w.attribute(attr::set::USERDATA, &SET_USERDATA);
        });
    }

    /// Deletes the set with all its elements. No rule may refer to it.
    pub fn delete_set(&mut self, table: &Table, set: &str) {
        self.push(format!("delete set {table} {set}"), message::DELSET, 0, table, |w| {
            w.text(attr::set::TABLE, &table.name);
            w.text(attr::set::NAME, set);
        });
    }

    /// Takes all elements out of the set.
    pub fn flush_set(&mut self, table: &Table, set: &str) {
        self.push(format!("flush set {table} {set}"), message::DELSETELEM, 0, table, |w| {
            w.text(attr::elements::TABLE, &table.name);
            w.text(attr::elements::SET, set);
        });
    }

    /// Adds a rule at the end of its chain, with the anonymous sets that it needs.
    pub fn add_rule(&mut self, table: &Table, rule: &Rule) {
        let mut ids = Vec::new();
        for expression in &rule.expressions {
            if let Expression::AnonymousLookup(set) = expression {
                self.add_anonymous_set(table, set);
            }
            ids.push(self.sets);
        }
        let what = format!("add rule {table} {}", rule.chain);
        self.push(what, message::NEWRULE, NLM_F_CREATE | NLM_F_APPEND, table, |w| {
            w.text(attr::rule::TABLE, &table.name);
            w.text(attr::rule::CHAIN, &rule.chain);
            w.nest(attr::rule::EXPRESSIONS, |w| {
                for (expression, id) in rule.expressions.iter().zip(ids) {
                    expression.write(w, id);
                }
            });
            if let Some(comment) = &rule.comment {
                w.attribute(attr::rule::USERDATA, &comment_userdata(comment));
            }
        });
    }

    /// Adds a rule at the top of its chain. Its list of expressions is encoded already, and given in parts.
    pub(super) fn insert_raw_rule(
        &mut self,
        what: String,
        table: &Table,
        chain: &str,
        expressions: &[&[u8]],
    ) {
        self.push(what, message::NEWRULE, NLM_F_CREATE, table, |w| {
            w.text(attr::rule::TABLE, &table.name);
            w.text(attr::rule::CHAIN, chain);
            w.nest(attr::rule::EXPRESSIONS, |w| expressions.iter().for_each(|part| w.raw(part)));
        });
    }

    /// Deletes a rule by the kernel's number.
    pub fn delete_rule(&mut self, table: &Table, chain: &str, handle: u64) {
        let what = format!("delete rule {table} {chain} handle {handle}");
        self.push(what, message::DELRULE, 0, table, |w| {
            w.text(attr::rule::TABLE, &table.name);
            w.text(attr::rule::CHAIN, chain);
            w.be64(attr::rule::HANDLE, handle);
        });
    }

    /// Deletes all rules of a chain.
    pub fn flush_chain(&mut self, table: &Table, chain: &str) {
        self.push(format!("flush chain {table} {chain}"), message::DELRULE, 0, table, |w| {
            w.text(attr::rule::TABLE, &table.name);
            w.text(attr::rule::CHAIN, chain);
        });
    }

    /// Adds elements. Those already there stay as they are; whether their time-out is renewed depends on the kernel
    /// (6.12 and later do).
    pub fn add_elements(&mut self, table: &Table, set: &Set, elements: &[Element]) {
        self.elements("add", message::NEWSETELEM, NLM_F_CREATE, table, set, elements);
    }

    /// Takes elements out. One that is not there makes the kernel refuse the whole transaction (ENOENT).
    pub fn delete_elements(&mut self, table: &Table, set: &Set, elements: &[Element]) {
        self.elements("delete", message::DELSETELEM, 0, table, set, elements);
    }

    fn elements(
        &mut self,
        verb: &str,
        kind: u16,
        flags: u16,
        table: &Table,
        set: &Set,
        elements: &[Element],
    ) {
        let adding = kind == message::NEWSETELEM;
        for chunk in elements.chunks(ELEMENTS_A_MESSAGE) {
            let what = match chunk {
                [one] if one.net.prefix_len() == one.net.max_prefix_len() => {
                    format!("{verb} element {table} {} {{ {} }}", set.name, one.address())
                }
                [one] => format!("{verb} element {table} {} {{ {} }}", set.name, one.net),
                _ => format!("{verb} {} elements {table} {}", chunk.len(), set.name),
            };
            self.push(what, kind, flags, table, |w| {
                w.text(attr::elements::TABLE, &table.name);
                w.text(attr::elements::SET, &set.name);
                w.nest(attr::elements::LIST, |w| {
                    for element in chunk {
                        write_element(w, element, set.interval, adding && set.timeout);
                    }
                });
            });
        }
    }

    fn add_anonymous_set(&mut self, table: &Table, set: &AnonymousSet) {
        self.sets += 1;
        let id = self.sets;
        self.push(format!("add set {table} {{ }}"), message::NEWSET, NLM_F_CREATE, table, |w| {
            w.text(attr::set::TABLE, &table.name);
            w.text(attr::set::NAME, "__set%d");
            w.be32(attr::set::FLAGS, set.flags());
            w.be32(attr::set::KEY_TYPE, set.key_type);
            w.be32(attr::set::KEY_LEN, set.length);
            w.be32(attr::set::ID, id);
            w.attribute(attr::set::USERDATA, &SET_USERDATA);
        });
        let what = format!("add elements {table} {{ }}");
        self.push(what, message::NEWSETELEM, NLM_F_CREATE, table, |w| {
            w.text(attr::elements::TABLE, &table.name);
            w.text(attr::elements::SET, "__set%d");
            w.be32(attr::elements::SET_ID, id);
            w.nest(attr::elements::LIST, |w| {
                for element in set.elements() {
                    w.nest(attr::list::ELEM, |w| {
                        if element.end {
                            w.be32(attr::element::FLAGS, ELEM_INTERVAL_END);
                        }
                        w.nest(attr::element::KEY, |w| w.attribute(attr::data::VALUE, &element.key));
                        if element.open {
                            w.attribute(attr::element::USERDATA, &OPEN_INTERVAL);
                        }
                    });
                }
            });
        });
    }

    fn push(&mut self, what: String, kind: u16, flags: u16, table: &Table, body: impl FnOnce(&mut Writer)) {
        self.check_name(&table.name);
        self.starts.push(self.writer.len());
        self.what.push(what);
        self.writer.message(kind, NLM_F_REQUEST | flags, table.family.number(), 0, body);
    }

    fn bracket(&mut self, kind: u16) {
        self.starts.push(self.writer.len());
        self.writer.message(kind, NLM_F_REQUEST, 0, NFNL_SUBSYS_NFTABLES, |_| {});
    }

    fn check_name(&mut self, name: &str) {
        let fits = !name.is_empty() && name.len() < NAME_LIMIT && !name.contains('\0');
        if !fits && self.bad_name.is_none() {
            self.bad_name = Some(format!("the name '{name}'"));
        }
    }

    /// Whether there is nothing to be done.
    pub fn is_empty(&self) -> bool {
        self.what.is_empty()
    }

    /// How many messages it has.
    pub(super) fn len(&self) -> usize {
        self.what.len()
    }

    pub(super) fn bytes(&self) -> &[u8] {
        self.writer.bytes()
    }

    /// What the message at `index` was to do; the first is the opening bracket.
    pub(super) fn what(&self, index: usize) -> String {
        let what = index.checked_sub(1).and_then(|index| self.what.get(index));
        what.cloned().unwrap_or_else(|| format!("commit: {}", self.summary()))
    }

    pub(super) fn summary(&self) -> String {
        match &self.what[..] {
            [] => "nothing".to_owned(),
            [one] => one.clone(),
            [first, .., last] => format!("{first} … {last}"),
        }
    }

    /// Closes it, and numbers its messages from `first`.
    pub(super) fn seal(&mut self, first: u32) -> Result<(), Error> {
        if let Some(name) = &self.bad_name {
            return Err(Error::TooLong(name.clone()));
        }
        self.bracket(NFNL_MSG_BATCH_END);
        if self.writer.too_long() {
            return Err(Error::TooLong(self.summary()));
        }
        for (index, start) in self.starts.iter().enumerate() {
            self.writer.number(*start, first + index as u32);
        }
        Ok(())
    }
}

fn write_element(w: &mut Writer, element: &Element, interval: bool, with_timeout: bool) {
    let timeout = element.timeout_millis().filter(|_| with_timeout);
    w.nest(attr::list::ELEM, |w| {
        w.nest(attr::element::KEY, |w| w.attribute(attr::data::VALUE, octets(element.address()).as_ref()));
        if let Some(timeout) = timeout {
            w.be64(attr::element::TIMEOUT, timeout);
        }
    });
    // The end is the first address behind; there is none behind the last of all. It bears no time-out (EINVAL).
    if interval && let Some(end) = following(element) {
        w.nest(attr::list::ELEM, |w| {
            w.be32(attr::element::FLAGS, ELEM_INTERVAL_END);
            w.nest(attr::element::KEY, |w| w.attribute(attr::data::VALUE, end.as_ref()));
        });
    }
}

fn following(element: &Element) -> Option<super::object::Octets> {
    match element.net {
        ipnet::IpNet::V4(net) => u32::from(net.broadcast())
            .checked_add(1)
            .map(|next| octets(std::net::Ipv4Addr::from(next).into())),
        ipnet::IpNet::V6(net) => u128::from(net.broadcast())
            .checked_add(1)
            .map(|next| octets(std::net::Ipv6Addr::from(next).into())),
    }
}

/// `NFTNL_UDATA_RULE_COMMENT`, its length, the text with a terminating zero; cut to what `nft` can show.
fn comment_userdata(comment: &str) -> Vec<u8> {
    let mut end = comment.len().min(127);
    while !comment.is_char_boundary(end) {
        end -= 1;
    }
    let text = &comment.as_bytes()[..end];
    let mut userdata = vec![0, text.len() as u8 + 1];
    userdata.extend_from_slice(text);
    userdata.push(0);
    userdata
}

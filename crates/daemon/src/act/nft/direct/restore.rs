//! Rules of iptables-legacy, many at a time through `iptables-restore --noflush`: all of one call come into force or none.

use std::collections::HashSet;
use std::path::{Path, PathBuf};

use ipnet::IpNet;
use portcullis_jail::Family;

use crate::act::nft::error::Error;
use crate::act::nft::firewall::Firewall;
use crate::act::nft::iptables_readback::blocked;
use crate::act::nft::{sweep, tool};
use crate::act::preflight::Known;

/// So many calls are spent on finding out which of a batch are refused.
const MOST_CALLS: usize = 64;

/// A chain that has a rule for each ban.
#[derive(Debug)]
pub(super) struct Restore {
    /// `xtables-legacy-multi`
    program: PathBuf,
    /// The word by which it restores: `iptables-restore`.
    word: &'static str,
    /// `iptables`, to list rules.
    lister: PathBuf,
    family: Family,
    chain: String,
    blocktype: String,
}

impl Restore {
    /// `None` where the tool is not several in one, or a name would need quotes.
    pub(super) fn new(tool: &Path, family: Family, known: &Known) -> Option<Self> {
        let (program, word) = sweep::restorer(tool, family)?;
        let plain =
            |text: &str| text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_. ".contains(&byte));
        if !plain(&known.chain) || known.chain.contains(' ') || !plain(&known.blocktype) {
            return None;
        }
        Some(Restore {
            program,
            word,
            lister: tool.to_owned(),
            family,
            chain: known.chain.clone(),
            blocktype: known.blocktype.clone(),
        })
    }

    pub(super) fn add(&self, firewall: &mut Firewall, nets: &[IpNet]) -> Result<Vec<(IpNet, Error)>, Error> {
        let mut present = self.present(firewall)?;
        let new: Vec<IpNet> = nets.iter().copied().filter(|net| present.insert(*net)).collect();
        let mut failed = Vec::new();
        let mut parts = vec![new.as_slice()];
        let mut calls = 0;
        while let Some(part) = parts.pop() {
            calls += 1;
            match self.restore(part, |net| format!("-I {} 1 -s {net} -j {}", self.chain, self.blocktype)) {
                Ok(()) => {}
                Err(error) if calls > MOST_CALLS || failed.len() == nets.len() => return Err(error),
                Err(error) => match part {
                    [one] => failed.push((*one, error)),
                    // The first half on top, so that their order stays.
                    _ => {
                        let (first, second) = part.split_at(part.len() / 2);
                        parts.extend([second, first]);
                    }
                },
            }
        }
        Ok(failed)
    }

    /// Takes out all rules of each, also those of which a killed server has left a second one.
    pub(super) fn delete(&self, nets: &[IpNet]) -> Result<Vec<IpNet>, Error> {
        let mut absent: HashSet<IpNet> = nets.iter().copied().collect();
        let wanted = absent.clone();
        let mut rules = sweep::listed(&self.lister, self.family, &self.chain)?;
        rules.retain(|(net, _)| wanted.contains(net));
        sweep::delete_listed(&self.lister, self.family, rules.iter().map(|(_, line)| line.as_str()))?;
        for (net, _) in &rules {
            absent.remove(net);
        }
        Ok(absent.into_iter().collect())
    }

    fn present(&self, firewall: &mut Firewall) -> Result<HashSet<IpNet>, Error> {
        blocked(Some(&self.lister), firewall, self.family, &self.chain)
    }

    fn restore(&self, nets: &[IpNet], line: impl Fn(&IpNet) -> String) -> Result<(), Error> {
        if nets.is_empty() {
            return Ok(());
        }
        let lines: String = nets.iter().map(|net| line(net) + "\n").collect();
        let input = format!("*filter\n{lines}COMMIT\n");
        tool::feed(&self.program, &[self.word, "-w", "--noflush"], input.as_bytes())
    }
}

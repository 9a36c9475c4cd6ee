//! What the tester may ask from the world: names only.

use std::collections::HashMap;
use std::net::IpAddr;

use portcullis_jail::Outside;
use portcullis_jail::action::Script;

/// So many names are kept; then all are asked for anew.
const KEPT: usize = 1000;

/// The resolver, and nothing else. A name is asked for once: a log has the same ones again and again, and a name server that does
/// not know one may take its time to say so; it is told once, too.
#[derive(Default)]
pub(crate) struct World {
    known: HashMap<String, Vec<IpAddr>>,
}

impl Outside for World {
    fn resolve(&mut self, name: &str) -> Result<Vec<IpAddr>, String> {
        if let Some(addresses) = self.known.get(name) {
            return Ok(addresses.clone());
        }
        let found = portcullis_daemon::addresses_of(name);
        if self.known.len() >= KEPT {
            self.known.clear();
        }
        self.known.insert(name.to_owned(), found.clone().unwrap_or_default());
        found
    }

    fn run(&mut self, _: &Script) -> Result<i32, String> {
        Err("no commands are run by the tester".into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_asked_for_once_and_not_all_names_are_kept() {
        let mut world = World::default();
        assert_eq!(world.resolve("127.0.0.1"), Ok(vec!["127.0.0.1".parse().unwrap()]));
        let other: Vec<IpAddr> = vec!["192.0.2.1".parse().unwrap()];
        world.known.insert("127.0.0.1".into(), other.clone());
        assert_eq!(world.resolve("127.0.0.1"), Ok(other));
        for host in 0..=KEPT {
            world.resolve(&format!("127.0.{}.{}", 1 + host / 250, 1 + host % 250)).unwrap();
        }
        assert!(world.known.len() <= KEPT);
    }
}

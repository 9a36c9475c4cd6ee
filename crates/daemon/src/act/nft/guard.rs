//! Our own action's words: `action.d/portcullis.conf` says what is to be guarded in commands that no shell runs.

use super::error::Error;
use super::parameters::Parameters;
use super::ports::Services;
use super::stock::commands;

/// The first word of the commands of our own action.
pub const GUARD: &str = "portcullis-guard";

/// What `actionstart` of our own action asks for; `None` when it is another action's. The script is the rendered one:
/// `portcullis-guard start 'sshd' 'ssh,2222' 'tcp' 'reject'`, with `all` for all ports.
///
/// # Errors
/// As [`Parameters::read`], inside.
pub fn guard(start: &str, services: &Services) -> Option<Result<Parameters, Error>> {
    let commands = commands(start)?;
    let [command] = commands.as_slice() else { return None };
    match command.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        [GUARD, "start", name, port, protocol, blocktype] => {
            Some(Parameters::read(name, Some(port), protocol, blocktype, services))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::super::matching::Answer;
    use super::*;

    #[test]
    fn the_words_of_our_action_are_read() {
        let services = Services::default();
        let read = |start| guard(start, &services);
        let parameters =
            read("portcullis-guard start 'my jail' 'ssh,80:90' 'tcp,udp' 'drop'").unwrap().unwrap();
        assert_eq!(parameters.name, "my jail");
        assert_eq!((parameters.ports, parameters.protocols), (vec![(22, 22), (80, 90)], vec![6, 17]));
        assert_eq!(parameters.answer, Answer::Drop);
        assert_eq!(read("portcullis-guard start x all 'tcp' 'reject'").unwrap().unwrap().ports, []);
        assert!(read("portcullis-guard start x nosuch tcp reject").unwrap().is_err());
        assert!(read("portcullis-guard start x 22 tcp accept").unwrap().is_err());
        assert_eq!(read("portcullis-guard stop x"), None);
        assert_eq!(read("nft add table inet x"), None);
    }
}

//! Methods of an action that a user calls by hand: `set JAIL action ACTION start`.
//!
//! They act beside the jail: no ban list knows what they did.

use std::sync::Arc;
use std::time::Duration;

use portcullis_jail::Ticket;
use portcullis_jail::action::{Facts, Operation, Script};
use portcullis_value::{Exception, Value};

use super::carrier::{By, Carrier};
use super::health::Enforcement;
use super::shell::{Hands, InShell};
use crate::act::runner::Outcome;
use crate::act::shell::Status;
use crate::log::Log;

/// A method with its arguments.
pub(crate) enum Call {
    Start,
    Stop,
    Flush,
    Reload,
    ConsistencyCheck,
    Ban(Arc<Ticket>),
    Reban(Arc<Ticket>),
    Unban(Arc<Ticket>),
    Prolong(Arc<Ticket>),
    /// A command of the user's own, and how long it may take.
    ExecuteCmd(String, Duration),
}

fn failed(text: impl Into<String>) -> Exception {
    Exception::builtin("RuntimeError", text)
}

/// The answer of a method that returns `value` when all went well.
fn answered(outcome: Outcome, value: Value) -> Result<Value, Exception> {
    match outcome {
        Outcome::Done => Ok(value),
        Outcome::Failed(why) => Err(failed(why)),
    }
}

impl Carrier {
    /// Does what a method does, and answers what it returns.
    pub(super) fn call(&mut self, call: Call, facts: &dyn Facts, log: &Log) -> Result<Value, Exception> {
        match &mut self.by {
            By::Shell(shell) => shell.call(call, facts, log),
            By::Kernel(_) | By::Mail(_) => self.call_in_kernel(call, facts, log),
        }
    }

    /// The kernel's own way knows no single methods, so each is what comes nearest.
    fn call_in_kernel(&mut self, call: Call, facts: &dyn Facts, log: &Log) -> Result<Value, Exception> {
        match call {
            Call::Start => self.start(facts, log),
            Call::Stop => self.stop(facts, log),
            Call::Flush => self.lift_all(&[], facts, log),
            Call::Reload | Call::ConsistencyCheck => {}
            Call::Ban(ticket) | Call::Reban(ticket) | Call::Prolong(ticket) => {
                let states = self.ban(std::slice::from_ref(&ticket), true, facts, log);
                let lost = states.values().any(|state| matches!(state, Enforcement::Failed(_)));
                return if lost {
                    Err(failed(format!("Error banning {}", ticket.id)))
                } else {
                    Ok(Value::None)
                };
            }
            Call::Unban(ticket) => {
                let _ = self.unban(std::slice::from_ref(&ticket), false, facts, log);
                return Ok(Value::None);
            }
            Call::ExecuteCmd(..) => {
                return Err(failed(format!("action '{}' runs no commands", self.name())));
            }
        }
        Ok(Value::Bool(true))
    }
}

impl InShell {
    pub(super) fn call(&mut self, call: Call, facts: &dyn Facts, log: &Log) -> Result<Value, Exception> {
        let InShell { runner, shell, .. } = self;
        let hands = &mut Hands { shell, log };
        // What fails here is no ban that somebody counts on: it is answered, and not tried again.
        let about = |outcome: Outcome, what: &str, ticket: &Ticket| match outcome {
            Outcome::Done => Ok(Value::None),
            Outcome::Failed(_) => Err(failed(format!("Error {what} {}", ticket.id))),
        };
        match call {
            Call::Start => match runner.start(hands, facts) {
                Outcome::Done => Ok(Value::Bool(true)),
                Outcome::Failed(_) => {
                    let name = runner.action().name();
                    let jail = facts.jail();
                    Err(failed(format!("Error starting action Jail('{jail}')/{name}: 'Script error'")))
                }
            },
            Call::Stop => answered(runner.stop(hands, facts), Value::Bool(true)),
            Call::Flush => answered(runner.flush(hands, facts), Value::Bool(true)),
            Call::Reload => answered(runner.reload(hands, facts), Value::Bool(true)),
            Call::ConsistencyCheck => Ok(Value::Bool(runner.check(hands, facts).is_done())),
            Call::Ban(ticket) => about(runner.ban(&ticket, hands, facts), "banning", &ticket),
            Call::Reban(ticket) => about(runner.reban(&ticket, hands, facts), "banning", &ticket),
            Call::Unban(ticket) => about(runner.unban(&ticket, hands, facts), "unbanning", &ticket),
            Call::Prolong(ticket) => {
                // Where there is no such command, Fail2ban fails.
                if !runner.action().has(Operation::Prolong) {
                    return Err(failed(format!("Error prolonging {}", ticket.id)));
                }
                about(runner.prolong(&ticket, hands, facts), "prolonging", &ticket)
            }
            Call::ExecuteCmd(command, timeout) => {
                let exit = hands.shell.run(&Script::plain(command), timeout);
                log.write_all(&exit.lines);
                Ok(Value::Bool(matches!(exit.status, Status::Exited(0))))
            }
        }
    }
}

//! The kernel's packet filter over netlink: sets, rules, transactions, and the two ways to ban with them: our own
//! default action, and the stock `nftables*` actions carried out natively.
//!
//! A ban counts as enforced when it was read back from the kernel. One thread owns the [`Firewall`].

mod batch;
pub(super) mod decode;
mod default_action;
mod direct;
pub(super) mod encode;
mod error;
mod events;
mod expression;
mod firewall;
mod guard;
mod ipset;
mod iptables_readback;
mod keep;
mod like;
mod matching;
mod nft_readback;
mod object;
mod parameters;
mod ports;
mod readback;
mod slot;
pub(super) mod socket;
mod stock;
mod sweep;
mod tool;
pub(super) mod uapi;

pub use batch::Batch;
pub use default_action::{DefaultAction, Difference, MARGIN, TABLE, Wanted};
pub use direct::{Direct, Member, Pace};
pub use error::Error;
pub use events::{Change, Ears, Events};
pub use expression::{AnonymousSet, Comparison, Expression, MetaKey, Payload, Reject, Verdict};
pub use firewall::Firewall;
pub use guard::{GUARD, guard};
pub use iptables_readback::{Backend, BanChain, BanSet};
pub use keep::Keep;
pub use matching::Answer;
pub use nft_readback::BanNftSet;
pub use object::{
    Chain, Element, Hook, KernelRule, KernelSet, KeyType, LONGEST_TIMEOUT, Rule, Set, Table, TableFamily,
};
pub use parameters::Parameters;
pub use ports::{PortError, PortRange, Services, protocols};
pub use readback::Readback;
pub use socket::{ANSWER_LIMIT, Socket};
pub use stock::{Scripts, Stock, clear_left};
pub(crate) use tool::list_rules;
pub use tool::{Tool, resolve};

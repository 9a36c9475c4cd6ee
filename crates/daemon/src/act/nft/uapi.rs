//! The kernel's numbers, as `linux/netlink.h`, `linux/netfilter/nfnetlink.h` and `linux/netfilter/nf_tables.h` give
//! them. Only what is used here; the names are the kernel's.

pub(in crate::act) const NETLINK_NETFILTER: isize = 12;
pub(in crate::act) const NFNLGRP_NFTABLES: u32 = 7;

pub(in crate::act) const NLMSG_ERROR: u16 = 2;
pub(in crate::act) const NLMSG_DONE: u16 = 3;
pub(in crate::act) const NLMSG_HEADER: usize = 16;
pub(in crate::act) const NFGEN_HEADER: usize = 4;
pub(in crate::act) const NLA_HEADER: usize = 4;
pub(in crate::act) const NLA_F_NESTED: u16 = 0x8000;
pub(in crate::act) const NLA_TYPE_MASK: u16 = 0x3fff;

pub(in crate::act) const NLM_F_REQUEST: u16 = 0x1;
pub(in crate::act) const NLM_F_ACK: u16 = 0x4;
pub(in crate::act) const NLM_F_DUMP: u16 = 0x300;
pub(in crate::act) const NLM_F_DUMP_INTR: u16 = 0x10;
pub(in crate::act) const NLM_F_CREATE: u16 = 0x400;
pub(in crate::act) const NLM_F_APPEND: u16 = 0x800;

pub(in crate::act) const NFNL_MSG_BATCH_BEGIN: u16 = 16;
pub(in crate::act) const NFNL_MSG_BATCH_END: u16 = 17;
/// nf_tables' messages are `NFNL_SUBSYS_NFTABLES << 8 | type`.
pub(in crate::act) const NFNL_SUBSYS_NFTABLES: u16 = 10;

/// Types of nf_tables messages (`NFT_MSG_*`).
pub(super) mod message {
    use super::NFNL_SUBSYS_NFTABLES;

    const BASE: u16 = NFNL_SUBSYS_NFTABLES << 8;
    pub(in super::super) const NEWTABLE: u16 = BASE;
    pub(in super::super) const GETTABLE: u16 = BASE + 1;
    pub(in super::super) const DELTABLE: u16 = BASE + 2;
    pub(in super::super) const NEWCHAIN: u16 = BASE + 3;
    pub(in super::super) const GETCHAIN: u16 = BASE + 4;
    pub(in super::super) const DELCHAIN: u16 = BASE + 5;
    pub(in super::super) const NEWRULE: u16 = BASE + 6;
    pub(in super::super) const GETRULE: u16 = BASE + 7;
    pub(in super::super) const DELRULE: u16 = BASE + 8;
    pub(in super::super) const NEWSET: u16 = BASE + 9;
    pub(in super::super) const GETSET: u16 = BASE + 10;
    pub(in super::super) const DELSET: u16 = BASE + 11;
    pub(in super::super) const NEWSETELEM: u16 = BASE + 12;
    pub(in super::super) const GETSETELEM: u16 = BASE + 13;
    pub(in super::super) const DELSETELEM: u16 = BASE + 14;
    pub(in super::super) const NEWGEN: u16 = BASE + 15;
    pub(in super::super) const GETGEN: u16 = BASE + 16;
}

/// Attributes, one module a message or nest.
pub(super) mod attr {
    pub(in super::super) mod list {
        pub(in super::super::super) const ELEM: u16 = 1;
    }
    pub(in super::super) mod table {
        pub(in super::super::super) const NAME: u16 = 1;
        pub(in super::super::super) const FLAGS: u16 = 2;
    }
    pub(in super::super) mod chain {
        pub(in super::super::super) const TABLE: u16 = 1;
        pub(in super::super::super) const NAME: u16 = 3;
        pub(in super::super::super) const HOOK: u16 = 4;
        pub(in super::super::super) const TYPE: u16 = 7;
    }
    pub(in super::super) mod hook {
        pub(in super::super::super) const NUM: u16 = 1;
        pub(in super::super::super) const PRIORITY: u16 = 2;
    }
    pub(in super::super) mod rule {
        pub(in super::super::super) const TABLE: u16 = 1;
        pub(in super::super::super) const CHAIN: u16 = 2;
        pub(in super::super::super) const HANDLE: u16 = 3;
        pub(in super::super::super) const EXPRESSIONS: u16 = 4;
        pub(in super::super::super) const USERDATA: u16 = 7;
    }
    pub(in super::super) mod set {
        pub(in super::super::super) const TABLE: u16 = 1;
        pub(in super::super::super) const NAME: u16 = 2;
        pub(in super::super::super) const FLAGS: u16 = 3;
        pub(in super::super::super) const KEY_TYPE: u16 = 4;
        pub(in super::super::super) const KEY_LEN: u16 = 5;
        pub(in super::super::super) const ID: u16 = 10;
        pub(in super::super::super) const USERDATA: u16 = 13;
    }
    pub(in super::super) mod elements {
        pub(in super::super::super) const TABLE: u16 = 1;
        pub(in super::super::super) const SET: u16 = 2;
        pub(in super::super::super) const LIST: u16 = 3;
        pub(in super::super::super) const SET_ID: u16 = 4;
    }
    pub(in super::super) mod element {
        pub(in super::super::super) const KEY: u16 = 1;
        pub(in super::super::super) const FLAGS: u16 = 3;
        pub(in super::super::super) const TIMEOUT: u16 = 4;
        pub(in super::super::super) const EXPIRATION: u16 = 5;
        pub(in super::super::super) const USERDATA: u16 = 6;
    }
    pub(in super::super) mod data {
        pub(in super::super::super) const VALUE: u16 = 1;
        pub(in super::super::super) const VERDICT: u16 = 2;
    }
    pub(in super::super) mod verdict {
        pub(in super::super::super) const CODE: u16 = 1;
        pub(in super::super::super) const CHAIN: u16 = 2;
    }
    pub(in super::super) mod generation {
        pub(in super::super::super) const ID: u16 = 1;
        pub(in super::super::super) const PROC_NAME: u16 = 3;
    }
    pub(in super::super) mod expression {
        pub(in super::super::super) const NAME: u16 = 1;
        pub(in super::super::super) const DATA: u16 = 2;
    }
}

/// `NFT_SET_*`
pub(super) mod set_flag {
    pub(in super::super) const ANONYMOUS: u32 = 1;
    pub(in super::super) const CONSTANT: u32 = 2;
    pub(in super::super) const INTERVAL: u32 = 4;
    pub(in super::super) const TIMEOUT: u32 = 16;
}

/// `NFT_SET_ELEM_INTERVAL_END`
pub(in crate::act) const ELEM_INTERVAL_END: u32 = 1;
/// `NFT_TABLE_F_DORMANT`
pub(in crate::act) const TABLE_DORMANT: u32 = 1;
/// `NFT_NAME_MAXLEN`, the terminating zero included.
pub(in crate::act) const NAME_LIMIT: usize = 256;

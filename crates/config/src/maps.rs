//! Maps and sets with a quick hash: reading a large configuration is mostly looking names up.

pub(crate) use foldhash::fast::RandomState;

/// Entries in the order in which they came.
pub(crate) type Map<K, V> = indexmap::IndexMap<K, V, RandomState>;
/// Entries in no order.
pub(crate) type HashMap<K, V> = std::collections::HashMap<K, V, RandomState>;
/// Members in no order.
pub(crate) type HashSet<K> = std::collections::HashSet<K, RandomState>;

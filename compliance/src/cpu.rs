//! Time on a CPU, which says more than the clock on a machine that has other work as well.

/// Seconds of CPU time that our ended children have used (`cutime` and `cstime` of proc(5); hundredths of a second).
///
/// # Panics
/// Without `/proc`.
pub fn children_cpu() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap();
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap().split_whitespace().collect();
    let ticks = |field: usize| fields[field].parse::<f64>().unwrap();
    (ticks(13) + ticks(14)) / 100.0
}

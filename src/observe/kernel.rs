//! What the kernel says about this process, read from /proc when somebody asks: memory, descriptors, CPU time.

use std::fs;

use nix::sys::resource::{Resource, UsageWho, getrlimit, getrusage};
use nix::unistd::{SysconfVar, sysconf};

use super::metric::KernelSample;

/// Zeros where something can't be read.
pub fn sample() -> KernelSample {
    let stat = fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let boot = fs::read_to_string("/proc/stat").unwrap_or_default();
    let ticks = positive(sysconf(SysconfVar::CLK_TCK)).max(1.0);
    let page_bytes = positive(sysconf(SysconfVar::PAGE_SIZE));
    let statm = fs::read_to_string("/proc/self/statm").unwrap_or_default();
    let resident_pages = statm.split(' ').nth(1).and_then(|pages| pages.parse::<f64>().ok()).unwrap_or(0.0);
    KernelSample {
        cpu_seconds: cpu_seconds(),
        resident_bytes: resident_pages * page_bytes,
        open_descriptors: fs::read_dir("/proc/self/fd").map_or(0, |entries| entries.count()),
        max_descriptors: getrlimit(Resource::RLIMIT_NOFILE).map_or(0, |(soft, _)| soft),
        started_at_seconds: boot_time(&boot) + start_ticks(&stat) / ticks,
    }
}

fn positive(value: nix::Result<Option<nix::libc::c_long>>) -> f64 {
    value.ok().flatten().and_then(|value| u32::try_from(value).ok()).map_or(0.0, f64::from)
}

fn cpu_seconds() -> f64 {
    let Ok(usage) = getrusage(UsageWho::RUSAGE_SELF) else { return 0.0 };
    [usage.user_time(), usage.system_time()]
        .iter()
        .map(|time| {
            let micros = u64::try_from(time.tv_sec()).unwrap_or(0) * 1_000_000;
            std::time::Duration::from_micros(micros + u64::try_from(time.tv_usec()).unwrap_or(0)).as_secs_f64()
        })
        .sum()
}

/// Seconds since 1970 at which the machine started.
fn boot_time(stat: &str) -> f64 {
    let line = stat.lines().find_map(|line| line.strip_prefix("btime "));
    line.and_then(|seconds| seconds.trim().parse().ok()).unwrap_or(0.0)
}

/// Field 22 of /proc/self/stat; the second field may hold blanks and parentheses.
fn start_ticks(stat: &str) -> f64 {
    let after_name = stat.rsplit(") ").next().unwrap_or_default();
    after_name.split(' ').nth(19).and_then(|ticks| ticks.parse().ok()).unwrap_or(0.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_found_behind_any_name() {
        let stat = "7 (a) b (c) S 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 4242 20";
        assert!((start_ticks(stat) - 4242.0).abs() < f64::EPSILON);
        assert!((boot_time("cpu 1 2\nbtime 1700000000\n") - 1.7e9).abs() < f64::EPSILON);
        assert!(start_ticks("").abs() < f64::EPSILON);
    }

    #[test]
    fn this_process_has_memory_and_descriptors() {
        let sample = sample();
        assert!(sample.resident_bytes > 100_000.0, "{sample:?}");
        assert!(sample.open_descriptors > 2 && sample.max_descriptors > 2, "{sample:?}");
        assert!(sample.started_at_seconds > 1.6e9, "{sample:?}");
    }
}

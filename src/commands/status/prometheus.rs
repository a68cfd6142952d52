//! A status as metrics in the text format of Prometheus, for node_exporter's textfile collector or a hook.
//!
//! Times are in seconds since 1970, as Prometheus wants them: an age would be that of the moment of writing. What is
//! not known is left out, so that a worker that is gone leaves no numbers. Names and labels are an interface.

use super::found::Trust;
use super::view::View;
use crate::supervise::report::status::{Exit, Status};

/// All metrics of a view; `config_ok`: the config can be used, and is in force.
pub(super) fn metrics(view: &View<'_>) -> String {
    let mut page = Page { name: escaped(&view.config.name), text: String::new() };
    let is_running = view.trust != Trust::Dead;
    let up = (!view.is_unknown()).then(|| flag(is_running));
    page.add("up", "Whether a supervisor runs for this config.", "", up);
    page.add("healthy", "Whether the worker is known to be healthy.", "", Some(flag(view.is_healthy())));
    let status = view.found.status().filter(|_| !view.is_unknown());
    let config_ok = view.is_whole() && status.is_none_or(|status| status.config_problem.is_none());
    page.add("config_ok", "Whether the config can be read and is the one in force.", "", Some(flag(config_ok)));
    if let Some(status) = status {
        let at = |at_ms| seconds(view.wall_ms_of(at_ms), 3);
        page.add("status_timestamp_seconds", "When the supervisor last wrote its status.", "", at(status.updated_ms));
        if is_running {
            of_supervisor(&mut page, status, &at);
            of_worker(&mut page, status, view.trust, &at);
        }
    }
    page.text
}

fn of_supervisor(page: &mut Page, status: &Status, at: &dyn Fn(u64) -> Option<String>) {
    let info = label("version", &status.version) + &label("state", &status.state);
    page.add("info", "The supervisor's version, and what it is doing.", &info, Some(flag(true)));
    let restarts = status.restarts.to_string();
    page.add("restarts_total", "Workers that followed this supervisor's first.", "", Some(restarts));
    let failed = status.failed_starts.to_string();
    page.add("failed_starts", "Starts that have failed in a row.", "", Some(failed));
    if let Some(exit) = &status.last_exit {
        page.add("last_exit_info", "How the last worker ended: code or signal.", &ending(exit), Some(flag(true)));
        page.add("last_exit_timestamp_seconds", "When the last worker ended.", "", at(exit.at_ms));
    }
}

/// Of a worker that lives.
fn of_worker(page: &mut Page, status: &Status, trust: Trust, at: &dyn Fn(u64) -> Option<String>) {
    if status.pid.is_none() || trust == Trust::Outlived {
        return;
    }
    let started = status.started_ms.and_then(at);
    page.add("worker_start_time_seconds", "When the live worker was spawned.", "", started);
    page.add("failed_probes", "Health checks that have failed in a row.", "", Some(status.streak.to_string()));
    if let Some(probe) = &status.last_probe {
        let took = seconds(probe.latency_us, 6);
        page.add("probe_duration_seconds", "How long the last health check took.", "", took);
        page.add("probe_timestamp_seconds", "When the last health check ended.", "", at(probe.at_ms));
    }
    if let Some(sync) = &status.sync {
        page.add("sync_ok", "Whether the last registration was accepted.", "", Some(flag(sync.accepted)));
        page.add("sync_timestamp_seconds", "When the last registration ended.", "", at(sync.at_ms));
    }
}

struct Page {
    /// Of the config, as a label has it: it tells several supervisors of a machine apart.
    name: String,
    text: String,
}

impl Page {
    /// One metric with one sample; none without a value.
    fn add(&mut self, metric: &str, help: &str, labels: &str, value: Option<String>) {
        let Some(value) = value else { return };
        let kind = if metric.ends_with("_total") { "counter" } else { "gauge" };
        let name = &self.name;
        self.text += &format!(
            "# HELP {PREFIX}{metric} {help}\n# TYPE {PREFIX}{metric} {kind}\n\
             {PREFIX}{metric}{{name=\"{name}\"{labels}}} {value}\n"
        );
    }
}

const PREFIX: &str = "worker_supervisor_";

fn label(name: &str, value: &str) -> String {
    format!(",{name}=\"{}\"", escaped(value))
}

fn escaped(value: &str) -> String {
    value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

fn flag(is_so: bool) -> String {
    if is_so { "1" } else { "0" }.to_owned()
}

/// Seconds, of thousandths or millionths of them.
fn seconds(count: u64, digits: usize) -> Option<String> {
    let unit = if digits == 3 { 1_000 } else { 1_000_000 };
    Some(format!("{}.{:0digits$}", count / unit, count % unit))
}

/// The labels of an end, told from its words: `exit code 1`, `signal 9 (SIGKILL)`.
fn ending(exit: &Exit) -> String {
    let after = |start: &str| {
        let number = exit.reason.strip_prefix(start).and_then(|rest| rest.split(' ').next());
        number.unwrap_or_default().to_owned()
    };
    let asked = if exit.asked_for { "true" } else { "false" };
    label("code", &after("exit code ")) + &label("signal", &after("signal ")) + &label("asked_for", asked)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_end_is_told_by_code_or_signal() {
        for (reason, code, signal) in [
            ("exit code 3", "3", ""),
            ("signal 9 (SIGKILL)", "", "9"),
            ("signal 11 (SIGSEGV, core dumped)", "", "11"),
            ("gone, its status unknown", "", ""),
        ] {
            let expected = format!(",code=\"{code}\",signal=\"{signal}\",asked_for=\"false\"");
            assert_eq!(ending(&Exit { reason: reason.into(), ..Exit::default() }), expected);
        }
    }

    #[test]
    fn labels_are_escaped_and_times_are_seconds() {
        assert_eq!(label("a", "b\\c\"d\ne"), ",a=\"b\\\\c\\\"d\\ne\"");
        assert_eq!(seconds(1_700_000_000_042, 3).as_deref(), Some("1700000000.042"));
        assert_eq!(seconds(1_270, 6).as_deref(), Some("0.001270"));
    }

    #[test]
    fn a_metric_has_its_help_type_and_the_name_of_the_config() {
        let mut page = Page { name: "demo".into(), text: String::new() };
        page.add("restarts_total", "Workers.", "", Some("2".into()));
        page.add("up", "Left out.", "", None);
        let expected = "# HELP worker_supervisor_restarts_total Workers.\n\
                        # TYPE worker_supervisor_restarts_total counter\n\
                        worker_supervisor_restarts_total{name=\"demo\"} 2\n";
        assert_eq!(page.text, expected);
    }
}

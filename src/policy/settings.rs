//! What the policy needs to know of the configuration, in the policy's own terms.

use std::time::Duration;

use super::backoff::Backoff;
use super::health::HealthSettings;
use super::sync::SyncSettings;

/// The configuration, as far as it decides anything. Durations are at most a few years, so that adding one to an
/// `Instant` cannot overflow; the configuration's bounds see to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// From the spawn to the first healthy answer.
    pub startup_timeout: Duration,
    /// A worker that was healthy and lived at least so long is replaced without a pause.
    pub stable: Duration,
    /// Between failed starts.
    pub backoff: Backoff,
    /// From the drain signal to SIGKILL.
    pub drain: Duration,
    /// From asking the port's holders to go to making them.
    pub port_grace: Duration,
    /// Whether a held port is waited for instead of cleared.
    pub wait_for_port: bool,
    /// All leases of one launch together.
    pub lease_timeout: Duration,
    /// The probes.
    pub health: HealthSettings,
    /// The registration.
    pub sync: SyncSettings,
}

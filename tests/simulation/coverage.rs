//! Which cells of the policy's table (a condition and an event) a run has been in, and which of them changed anything.
//!
//! A cell never tried is a promise never tested. What was tried is held against the table that people read.

use worker_supervisor::policy::{Condition, Event};

const CONDITIONS: [Condition; 10] = [
    Condition::Launching,
    Condition::Leasing,
    Condition::ClearingPort,
    Condition::AwaitingPort,
    Condition::BackingOff,
    Condition::Starting,
    Condition::Running,
    Condition::Draining,
    Condition::Killing,
    Condition::Stopped,
];

const EVENTS: [&str; 15] = [
    "TimePassed",
    "Spawned",
    "LaunchFailed",
    "PortHeld",
    "LeaseStarted",
    "LeaseEnded",
    "LeaderExited",
    "Exited",
    "Probed",
    "OwnerFound",
    "SyncEnded",
    "StopRequested",
    "RestartRequested",
    "LockLost",
    "Slept",
];

/// The columns of the written table; it has one for both reasons to wait.
const COLUMNS: [&[Condition]; 9] = [
    &[Condition::Launching],
    &[Condition::Leasing],
    &[Condition::ClearingPort],
    &[Condition::AwaitingPort, Condition::BackingOff],
    &[Condition::Starting],
    &[Condition::Running],
    &[Condition::Draining],
    &[Condition::Killing],
    &[Condition::Stopped],
];

/// How often each event came in each condition, and how often it led to an order or changed the machine.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Coverage {
    cells: [[Cell; EVENTS.len()]; CONDITIONS.len()],
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Cell {
    came: u64,
    mattered: u64,
}

impl Coverage {
    pub(crate) fn came(&mut self, condition: Condition, event: Event, mattered: bool) {
        let cell = &mut self.cells[row(condition)][column(event)];
        cell.came += 1;
        cell.mattered += u64::from(mattered);
    }

    pub(crate) fn add(&mut self, other: &Self) {
        for (mine, theirs) in self.cells.iter_mut().flatten().zip(other.cells.iter().flatten()) {
            mine.came += theirs.came;
            mine.mattered += theirs.mattered;
        }
    }

    pub(crate) fn events(&self) -> u64 {
        self.cells.iter().flatten().map(|cell| cell.came).sum()
    }

    /// The cells that were entered fewer than `least` times.
    pub(crate) fn rare(&self, least: u64) -> Vec<String> {
        self.named()
            .filter(|(_, cell)| cell.came < least)
            .map(|(name, cell)| format!("{name}: {}", cell.came))
            .collect()
    }

    /// Where the table in the documentation and the machine disagree: a dot stands where an event never matters, and
    /// nowhere else.
    pub(crate) fn untrue_cells(&self, documentation: &str) -> Vec<String> {
        let mut untrue = Vec::new();
        for (row, event) in EVENTS.iter().enumerate() {
            let cells = documented_row(documentation, event);
            assert_eq!(cells.len(), COLUMNS.len(), "the row of {event} has a cell for each state");
            for (text, conditions) in cells.iter().zip(COLUMNS) {
                let matters = conditions.iter().any(|condition| self.cells[self::row(*condition)][row].mattered > 0);
                if (*text == "·") == matters {
                    untrue.push(format!("{event} while {}: \"{text}\"", conditions[0].word()));
                }
            }
        }
        untrue
    }

    fn named(&self) -> impl Iterator<Item = (String, Cell)> {
        CONDITIONS.iter().zip(self.cells).flat_map(|(condition, cells)| {
            EVENTS.iter().zip(cells).map(move |(event, cell)| (format!("{event} while {}", condition.word()), cell))
        })
    }
}

/// The cells of an event's row: columns are two or more spaces apart.
fn documented_row<'a>(documentation: &'a str, event: &str) -> Vec<&'a str> {
    let rows = documentation.lines().filter_map(|line| line.strip_prefix("//! ")?.strip_prefix(event));
    let cells = |row: &'a str| row.split("  ").map(str::trim).filter(|cell| !cell.is_empty()).collect();
    rows.map(cells).find(|cells: &Vec<&str>| cells.len() > 1).unwrap_or_default()
}

fn row(condition: Condition) -> usize {
    match condition {
        Condition::Launching => 0,
        Condition::Leasing => 1,
        Condition::ClearingPort => 2,
        Condition::AwaitingPort => 3,
        Condition::BackingOff => 4,
        Condition::Starting => 5,
        Condition::Running => 6,
        Condition::Draining => 7,
        Condition::Killing => 8,
        Condition::Stopped => 9,
    }
}

fn column(event: Event) -> usize {
    match event {
        Event::TimePassed => 0,
        Event::Spawned(_) => 1,
        Event::LaunchFailed(_) => 2,
        Event::PortHeld { .. } => 3,
        Event::LeaseStarted(_) => 4,
        Event::LeaseEnded(_) => 5,
        Event::LeaderExited(_) => 6,
        Event::Exited(_) => 7,
        Event::Probed { .. } => 8,
        Event::OwnerFound { .. } => 9,
        Event::SyncEnded { .. } => 10,
        Event::StopRequested(_) => 11,
        Event::RestartRequested => 12,
        Event::LockLost => 13,
        Event::Slept => 14,
    }
}

//! The worker's logs: what a rotation keeps, and what it may lose.

mod operator_support;

use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown, symlink};
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Instant;

use operator_support::Dir;
use worker_supervisor::supervise::logs::rotation::Rotation;

/// More steps than any of these logs takes.
const STEPS_MAX: usize = 1000;

fn rotate(path: &Path, keep: u32) -> usize {
    let mut rotation = Rotation::start(path, 0, keep).expect("no error").expect("the log is long enough");
    1 + (0..STEPS_MAX).find(|_| rotation.step().expect("a step")).expect("an end")
}

fn append(path: &Path) -> File {
    OpenOptions::new().append(true).create(true).open(path).expect("the log opens")
}

fn text(path: &Path) -> String {
    fs::read_to_string(path).expect("the file is read")
}

#[test]
fn a_log_no_longer_than_the_limit_stays() {
    let dir = Dir::new();
    let log = dir.join("a.log");
    assert!(Rotation::start(&log, 3, 1).expect("no error").is_none());
    fs::write(&log, "abc").expect("written");
    assert!(Rotation::start(&log, 3, 1).expect("no error").is_none());
    assert!(Rotation::start(Path::new("/dev/null"), 0, 1).expect("no error").is_none());
    assert!(Rotation::start(dir.path(), 0, 1).expect("no error").is_none());
    assert_eq!(dir.names(), ["a.log"]);
}

#[test]
fn a_log_is_copied_and_the_writer_goes_on_at_the_new_end() {
    let dir = Dir::new();
    let log = dir.join("a.log");
    let mut writer = append(&log);
    for round in 1..=4 {
        writeln!(writer, "round {round}").expect("written");
        rotate(&log, 2);
        assert_eq!(text(&log), "");
    }
    writeln!(writer, "now").expect("written");
    assert_eq!(text(&log), "now\n");
    assert_eq!(text(&dir.join("a.log.1")), "round 4\n");
    assert_eq!(text(&dir.join("a.log.2")), "round 3\n");
    assert_eq!(dir.names(), ["a.log", "a.log.1", "a.log.2"]);
    let mode = fs::metadata(dir.join("a.log.1")).expect("metadata").permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
}

#[test]
fn a_long_log_takes_several_steps_and_nothing_written_between_them_is_lost() {
    let dir = Dir::new();
    let log = dir.join("a.log");
    let mut writer = append(&log);
    let mut written = vec![b'x'; 20 * 1024 * 1024];
    writer.write_all(&written).expect("written");
    let mut rotation = Rotation::start(&log, 0, 1).expect("no error").expect("long enough");
    let mut steps = 1;
    while !rotation.step().expect("a step") {
        steps += 1;
        let line = format!("after step {steps}\n");
        writer.write_all(line.as_bytes()).expect("written");
        written.extend_from_slice(line.as_bytes());
    }
    // Copied and given back by 256 KiB each, and one to end it. A clone has it all at once.
    assert!((158..=162).contains(&steps) || cfg!(not(target_os = "linux")), "{steps}");
    assert!(fs::read(dir.join("a.log.1")).expect("read") == written);
    assert_eq!(text(&log), "");
}

/// Calls `look` after each step of a rotation, and says how many there were.
fn rotate_watched(path: &Path, keep: u32, mut look: impl FnMut()) -> usize {
    let mut rotation = Rotation::start(path, 0, keep).expect("no error").expect("the log is long enough");
    let mut steps = 1;
    while !rotation.step().expect("a step") {
        look();
        steps += 1;
        assert!(steps < STEPS_MAX);
    }
    steps
}

/// How much of a file is on the disk, in bytes.
fn allocated(path: &Path) -> u64 {
    fs::metadata(path).map_or(0, |metadata| metadata.blocks() * 512)
}

#[test]
fn no_step_gives_back_more_than_a_mib_of_a_big_log_or_of_the_copy_that_it_replaces() {
    const MIB: u64 = 1024 * 1024;
    let dir = Dir::new();
    let (log, oldest) = (dir.join("a.log"), dir.join("a.log.2"));
    fs::write(&log, vec![b'x'; 20 << 20]).expect("written");
    fs::write(dir.join("a.log.1"), "one").expect("written");
    fs::write(&oldest, vec![b'x'; 20 << 20]).expect("written");
    let mut before = (allocated(&log), allocated(&oldest));
    let mut most = 0;
    rotate_watched(&log, 2, || {
        let now = (allocated(&log), allocated(&oldest));
        most = most.max(before.0.saturating_sub(now.0)).max(before.1.saturating_sub(now.1));
        before = now;
    });
    assert!(most <= MIB && before.0 <= MIB || cfg!(not(target_os = "linux")), "{most} {before:?}");
    assert_eq!((text(&log).len(), text(&oldest)), (0, "one".to_owned()));
    assert_eq!(fs::metadata(dir.join("a.log.1")).expect("a copy").len(), 20 * MIB);
}

#[test]
fn a_rotation_that_is_cut_short_while_it_gives_back_the_log_is_gone_on_with() {
    let dir = Dir::new();
    let log = dir.join("a.log");
    let mut writer = append(&log);
    let mut written: Vec<u8> = (0..2u32 << 20).flat_map(u32::to_le_bytes).map(|byte| byte | 1).collect();
    writer.write_all(&written).expect("written");
    let whole = allocated(&log);
    for round in 0..3 {
        let mut rotation = Rotation::start(&log, 0, 2).expect("no error").expect("long enough");
        let is_done = (0..STEPS_MAX).any(|_| rotation.step().expect("a step") || allocated(&log) < whole);
        assert!(is_done);
        drop(rotation);
        let line = format!("after round {round}");
        writer.write_all(line.as_bytes()).expect("written");
        if cfg!(target_os = "linux") {
            written.extend_from_slice(line.as_bytes());
        }
    }
    if cfg!(target_os = "linux") {
        rotate_watched(&log, 2, || ());
        assert!(fs::read(dir.join("a.log.1")).expect("read") == written);
        assert_eq!(dir.names(), ["a.log", "a.log.1"]);
    }
}

#[test]
fn a_copy_that_goes_and_has_another_name_is_whole_there() {
    let dir = Dir::new();
    let log = dir.join("a.log");
    fs::write(&log, "new").expect("written");
    fs::write(dir.join("a.log.1"), vec![b'x'; 8 << 20]).expect("written");
    fs::hard_link(dir.join("a.log.1"), dir.join("backup")).expect("a link");
    rotate(&log, 1);
    assert_eq!((text(&dir.join("backup")).len(), text(&dir.join("a.log.1"))), (8 << 20, "new".to_owned()));
}

#[test]
fn a_big_half_copy_of_a_rotation_that_was_killed_is_taken_down_in_steps() {
    let dir = Dir::new();
    let (log, half) = (dir.join("a.log"), dir.join("a.log.new"));
    fs::write(&log, "new").expect("written");
    fs::write(&half, vec![b'x'; 8 << 20]).expect("written");
    // As that of a clone is until it is closed.
    fs::set_permissions(&half, fs::Permissions::from_mode(0o644)).expect("a mode");
    assert!(rotate_watched(&log, 1, || ()) >= 32);
    let copy = dir.join("a.log.1");
    assert_eq!((text(&log), text(&copy)), (String::new(), "new".to_owned()));
    assert_eq!(fs::metadata(&copy).expect("a copy").permissions().mode() & 0o777, 0o600);
}

#[test]
fn the_oldest_copy_stays_whole_where_no_other_gets_its_number() {
    let dir = Dir::new();
    let (log, oldest) = (dir.join("a.log"), dir.join("a.log.3"));
    fs::write(&log, "new").expect("written");
    fs::write(&oldest, vec![b'x'; 2 << 20]).expect("written");
    rotate(&log, 3);
    assert_eq!((text(&dir.join("a.log.1")).as_str(), text(&oldest).len()), ("new", 2 << 20));
}

#[test]
fn a_short_log_takes_one_step() {
    let dir = Dir::new();
    let log = dir.join("a.log");
    fs::write(&log, vec![b'x'; 64 * 1024]).expect("written");
    assert_eq!(rotate(&log, 1), 1);
}

/// Writes so many KiB, each of a letter of its own.
fn write_more(writer: &mut File, written: &mut Vec<u8>, kib: usize) {
    let from = written.len();
    for _ in 0..kib {
        let letter = 1 + (written.len() >> 10) as u8 % 251;
        written.resize(written.len() + (1 << 10), letter);
    }
    writer.write_all(&written[from..]).expect("written");
}

/// A rotation that its worker has outrun: `.1` is whole, and it no longer follows. With what was written. None: the log
/// is emptied too, in one call, since files can have no holes here.
fn outrun(log: &Path) -> Option<(Rotation, Vec<u8>)> {
    let (mut writer, mut written) = (append(log), Vec::new());
    write_more(&mut writer, &mut written, 4 << 10);
    let mut rotation = Rotation::start(log, 0, 1).expect("no error").expect("long enough");
    let copy = log.with_extension("log.1");
    let mut has_ended = false;
    let follows = |_: &usize| {
        write_more(&mut writer, &mut written, 512);
        has_ended = rotation.step().expect("a step");
        !copy.exists()
    };
    let steps = (0..STEPS_MAX).take_while(follows).count();
    // Each copies 256 KiB, until 64 MiB beyond the first 4 are copied.
    assert!(steps == 4 * 68 || cfg!(not(target_os = "linux")), "{steps}");
    write_more(&mut writer, &mut written, 8 << 10);
    (!has_ended).then_some((rotation, written))
}

#[test]
fn a_writer_that_is_slower_than_the_copy_loses_nothing_however_much_it_writes_meanwhile() {
    const MIB: usize = 1024 * 1024;
    let dir = Dir::new();
    let log = dir.join("a.log");
    fs::write(&log, vec![b'x'; MIB]).expect("written");
    append(&log).set_len(128 * MIB as u64).expect("longer");
    let (mut writer, mut written) = (append(&log), Vec::new());
    let mut rotation = Rotation::start(&log, 0, 1).expect("no error").expect("long enough");
    let ends = |_| {
        let kib = if written.len() < 80 * MIB { 100 } else { 0 };
        write_more(&mut writer, &mut written, kib);
        rotation.step().expect("a step")
    };
    assert!((0..2 * STEPS_MAX).any(ends));
    assert_eq!((rotation.skipped(), text(&log)), (0, String::new()));
    assert!(fs::read(dir.join("a.log.1")).expect("a copy")[128 * MIB..] == written);
}

#[test]
fn a_writer_that_outruns_the_copy_by_64_mib_loses_what_is_left() {
    let dir = Dir::new();
    let log = dir.join("a.log");
    let Some((mut rotation, written)) = outrun(&log) else { return };
    assert!((0..STEPS_MAX).any(|_| rotation.step().expect("a step")));
    let copied = fs::read(dir.join("a.log.1")).expect("a copy");
    assert!(copied == written[..copied.len()], "not what was written first");
    assert_eq!((rotation.skipped(), text(&log)), ((written.len() - copied.len()) as u64, String::new()));
    assert!(copied.len() > 68 << 20 && rotation.skipped() > 8 << 20, "{}", copied.len());
}

#[test]
fn an_outrun_rotation_that_is_cut_short_loses_nothing() {
    let dir = Dir::new();
    let log = dir.join("a.log");
    let Some((mut rotation, written)) = outrun(&log) else { return };
    let whole = allocated(&log);
    let is_cut_short = (0..STEPS_MAX).any(|_| rotation.step().expect("a step") || allocated(&log) < whole);
    drop(rotation);
    if cfg!(target_os = "linux") {
        assert!(is_cut_short);
        rotate_watched(&log, 2, || ());
        assert!(fs::read(dir.join("a.log.1")).expect("a copy") == written);
        assert_eq!(dir.names(), ["a.log", "a.log.1"]);
    }
}

#[test]
fn a_log_that_cannot_be_looked_at_is_an_error() {
    let dir = Dir::new();
    fs::write(dir.join("file"), "no directory").expect("written");
    assert!(Rotation::start(&dir.join("file/a.log"), 0, 1).is_err());
}

#[test]
fn a_log_of_another_user_is_left_alone() {
    if !nix::unistd::geteuid().is_root() {
        println!("not applicable: only root can make a file that is another user's");
        return;
    }
    let dir = Dir::new();
    let log = dir.join("a.log");
    fs::write(&log, "theirs").expect("written");
    chown(&log, Some(12_345), None).expect("root may give it away");
    let refused = Rotation::start(&log, 0, 1).expect_err("it is not ours");
    assert!(refused.to_string().contains("12345"), "{refused}");
    assert_eq!(dir.names(), ["a.log"]);
}

#[test]
fn a_gap_in_the_numbers_is_no_trouble() {
    let dir = Dir::new();
    let log = dir.join("a.log");
    for (name, content) in [("a.log", "new"), ("a.log.2", "two"), ("a.log.7", "seven")] {
        fs::write(dir.join(name), content).expect("written");
    }
    rotate(&log, 3);
    assert_eq!(dir.names(), ["a.log", "a.log.1", "a.log.3", "a.log.7"]);
    assert_eq!(text(&dir.join("a.log.3")), "two");
}

#[test]
fn a_rotation_that_fails_or_is_given_up_leaves_the_log_and_no_litter() {
    let dir = Dir::new();
    let log = dir.join("a.log");
    fs::write(&log, "all of it").expect("written");
    drop(Rotation::start(&log, 0, 1).expect("no error").expect("long enough"));
    fs::create_dir(dir.join("a.log.1")).expect("something in the way");
    let mut rotation = Rotation::start(&log, 0, 1).expect("no error").expect("long enough");
    rotation.step().expect_err("a directory is in the way");
    drop(rotation);
    assert_eq!(dir.names(), ["a.log", "a.log.1"]);
    assert_eq!(text(&log), "all of it");
}

#[test]
fn an_older_copy_that_cannot_make_room_is_an_error_and_stays() {
    let dir = Dir::new();
    let log = dir.join("a.log");
    fs::write(&log, "new").expect("written");
    fs::write(dir.join("a.log.1"), "old").expect("written");
    fs::create_dir(dir.join("a.log.2")).expect("something in the way");
    let mut rotation = Rotation::start(&log, 0, 2).expect("no error").expect("long enough");
    rotation.step().expect_err("a directory is in the way");
    assert_eq!((text(&log), text(&dir.join("a.log.1"))), ("new".to_owned(), "old".to_owned()));
}

#[test]
fn no_link_is_followed_where_a_copy_goes() {
    let dir = Dir::new();
    let log = dir.join("a.log");
    fs::write(dir.join("victim"), "untouched").expect("written");
    for name in ["a.log.new", "a.log.1", "a.log.2"] {
        symlink(dir.join("victim"), dir.join(name)).expect("a link");
    }
    fs::write(&log, "secret").expect("written");
    rotate(&log, 2);
    assert_eq!(text(&dir.join("victim")), "untouched");
    assert_eq!(text(&dir.join("a.log.1")), "secret");
}

#[test]
fn a_log_that_somebody_truncates_meanwhile_is_left_alone() {
    let dir = Dir::new();
    let log = dir.join("a.log");
    fs::write(&log, vec![b'x'; 8 * 1024 * 1024]).expect("written");
    let mut rotation = Rotation::start(&log, 0, 1).expect("no error").expect("long enough");
    assert!(!rotation.step().expect("a step") || cfg!(target_os = "macos"));
    File::create(&log).expect("truncated");
    assert!(rotation.step().is_err() || cfg!(target_os = "macos"));
}

/// A file of numbered lines, as the numbers it begins and ends with. The first line is left out if it has lost its
/// beginning, the last one if it has lost its end; all others must follow one upon the other.
fn numbers(path: &Path) -> Option<(u64, u64)> {
    let content = text(path);
    let whole = content.rsplit_once('\n').map_or("", |(whole, _)| whole);
    let mut lines = whole.split('\n').enumerate().filter_map(|(index, line)| {
        let number = line.strip_prefix("line ").filter(|number| number.len() == 12);
        assert!(number.is_some() || index == 0, "a torn line inside {path:?}: {line:?}");
        number.map(|number| number.parse::<u64>().expect("a number"))
    });
    let first = lines.next()?;
    let last = lines.fold(first, |before, number| {
        assert_eq!(number, before + 1, "a line is lost inside {path:?}");
        number
    });
    Some((first, last))
}

/// Lines appended by a writer at full speed while its log is rotated: what is missing at the end, per rotation.
#[test]
fn only_lines_written_between_the_last_read_and_the_truncation_are_lost() {
    const ROTATIONS: u32 = 50;
    let dir = Dir::new();
    let log = dir.join("a.log");
    let (stop, written) = (AtomicBool::new(false), AtomicU64::new(0));
    let started = Instant::now();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut writer = append(&log);
            while !stop.load(Ordering::Relaxed) {
                let number = written.load(Ordering::Relaxed);
                writer.write_all(format!("line {number:012}\n").as_bytes()).expect("written");
                written.store(number + 1, Ordering::Relaxed);
            }
        });
        for rotation in 0..ROTATIONS {
            operator_support::wait_for("a long log", || fs::metadata(&log).is_ok_and(|log| log.len() > 256 * 1024));
            rotate(&log, ROTATIONS);
            assert!(rotation < ROTATIONS);
        }
        stop.store(true, Ordering::Relaxed);
    });
    let seconds = started.elapsed().as_secs_f64();
    let files = (1..=ROTATIONS).rev().map(|number| dir.join(&format!("a.log.{number}"))).chain([log]);
    let ranges: Vec<(u64, u64)> = files.filter_map(|path| numbers(&path)).collect();
    assert_eq!(ranges.first().map(|range| range.0), Some(0));
    let lost: Vec<u64> = ranges.windows(2).map(|pair| pair[1].0 - pair[0].1 - 1).collect();
    let total = written.load(Ordering::Relaxed);
    let worst = lost.iter().max().copied().unwrap_or_default();
    let microseconds_a_line = seconds * 1e6 / total as f64;
    println!(
        "{ROTATIONS} rotations, {total} lines, one in {microseconds_a_line:.2} us; lost in all {}, in one rotation \
         {worst} ({:.0} us), clean rotations {}",
        lost.iter().sum::<u64>(),
        worst as f64 * microseconds_a_line,
        lost.iter().filter(|&&lines| lines == 0).count()
    );
    // A loaded machine may stop us between the two calls: milliseconds then, where it is microseconds at rest.
    assert!(lost.iter().sum::<u64>() < total / 4, "lost {lost:?} of {total}");
}

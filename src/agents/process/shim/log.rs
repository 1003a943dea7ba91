//! The log of a program: what it wrote, up to a cap. Beyond the cap the log keeps the head as it
//! was and, in memory, a bounded tail, which is added at the end after a line that says how much
//! is missing. A disk that is full counts as a cap that was reached: the program is not held up.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, Read as _, Write as _};

use tokio::io::AsyncReadExt as _;
use tokio::net::unix::pipe;
use tokio::sync::oneshot;

use crate::agents::process::shim::redact::Redactor;

/// 1 MiB holds the end of any build log, which is the part that says what went wrong.
const TAIL_BYTES_MAX: u64 = 1 << 20;

/// What a pipe holds by default: one read empties it.
const READ_BYTES: usize = 64 << 10;

/// 1 MiB is the most that a pipe of an ordinary user holds (pipe(7)): more would mean that
/// somebody out of reach goes on writing, and the log must end some time.
const DRAIN_READS_MAX: usize = (1 << 20) / READ_BYTES;

/// A log that is being written.
#[derive(Debug)]
pub(super) struct Log {
    file: File,
    redactor: Redactor,
    head_max: u64,
    tail_max: usize,
    tail: VecDeque<u8>,
    cut_bytes: u64,
    bytes: u64,
}

impl Log {
    /// An empty log in `file` of at most `bytes_max` bytes, the line about the gap not counted.
    pub(super) fn new(file: File, bytes_max: u64) -> Self {
        let tail_max = TAIL_BYTES_MAX.min(bytes_max / 2);
        Self {
            file,
            redactor: Redactor::default(),
            head_max: bytes_max - tail_max,
            tail_max: usize::try_from(tail_max).unwrap_or(usize::MAX),
            tail: VecDeque::new(),
            cut_bytes: 0,
            bytes: 0,
        }
    }

    /// The same, without the secrets that `redactor` knows.
    pub(super) fn without(self, redactor: Redactor) -> Self {
        Self { redactor, ..self }
    }

    /// How long the file is.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// How much was left out.
    pub(super) fn cut_bytes(&self) -> u64 {
        self.cut_bytes
    }

    fn append(&mut self, output: &[u8]) {
        let output = self.redactor.pass(output);
        self.keep(&output);
    }

    fn keep(&mut self, output: &[u8]) {
        let room = usize::try_from(self.head_max - self.bytes).unwrap_or(usize::MAX);
        let (head, rest) = output.split_at(room.min(output.len()));
        let written = self.write(head);
        if written < head.len() {
            // The disk takes no more: what it did take is the head.
            self.head_max = self.bytes;
        }
        self.keep_tail(&head[written..]);
        self.keep_tail(rest);
    }

    fn write(&mut self, mut bytes: &[u8]) -> usize {
        let all = bytes.len();
        while !bytes.is_empty() {
            match self.file.write(bytes) {
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Ok(0) | Err(_) => break,
                Ok(count) => {
                    self.bytes += count as u64;
                    bytes = &bytes[count..];
                }
            }
        }
        all - bytes.len()
    }

    fn keep_tail(&mut self, output: &[u8]) {
        let kept = &output[output.len().saturating_sub(self.tail_max)..];
        let over = (self.tail.len() + kept.len()).saturating_sub(self.tail_max);
        self.tail.drain(..over);
        self.tail.extend(kept);
        self.cut_bytes += (over + output.len() - kept.len()) as u64;
    }

    /// Adds the tail. If nothing but the tail was kept back, nothing is missing.
    fn finish(&mut self) {
        let rest = self.redactor.rest();
        self.keep(&rest);
        let tail = std::mem::take(&mut self.tail);
        if self.cut_bytes > 0 {
            let gap = format!("\n[taskloom: {} bytes of output left out here]\n", self.cut_bytes);
            self.write(gap.as_bytes());
        }
        let (front, back) = tail.as_slices();
        let written = self.write(front) + self.write(back);
        self.cut_bytes += (tail.len() - written) as u64;
    }
}

/// Carries output into `log` until nobody can write any more, or until `stop`, when what is
/// already in the pipe is still taken. Tells the length of the log as it grows.
pub(super) async fn pump(
    mut output: pipe::Receiver,
    mut log: Log,
    stop: oneshot::Receiver<()>,
    told: impl Fn(u64),
) -> Log {
    let mut buffer = vec![0; READ_BYTES];
    let mut stop = std::pin::pin!(stop);
    loop {
        let read = tokio::select! {
            read = output.read(&mut buffer) => read,
            _ = &mut stop => break,
        };
        match read {
            Ok(0) | Err(_) => break,
            Ok(count) => {
                log.append(&buffer[..count]);
                told(log.bytes());
            }
        }
    }
    drain(output, &mut log, &mut buffer);
    log.finish();
    log
}

/// Takes what is in the pipe now. It is read directly, because the runtime may not have heard yet
/// that there is something.
fn drain(output: pipe::Receiver, log: &mut Log, buffer: &mut [u8]) {
    let Ok(pipe) = output.into_nonblocking_fd() else { return };
    let mut pipe = File::from(pipe);
    for _ in 0..DRAIN_READS_MAX {
        match pipe.read(buffer) {
            Ok(count @ 1..) => log.append(&buffer[..count]),
            Ok(0) | Err(_) => break,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn log_of(bytes_max: u64, pieces: &[&str]) -> (String, u64) {
        let file = tempfile::NamedTempFile::new().unwrap();
        let mut log = Log::new(file.reopen().unwrap(), bytes_max);
        pieces.iter().for_each(|piece| log.append(piece.as_bytes()));
        log.finish();
        let text = fs::read_to_string(file.path()).unwrap();
        assert_eq!(text.len() as u64, log.bytes());
        (text, log.cut_bytes())
    }

    #[test]
    fn output_within_the_cap_is_kept_whole() {
        assert_eq!(log_of(10, &["0123", "456789"]), ("0123456789".to_owned(), 0));
    }

    #[test]
    fn beyond_the_cap_head_and_tail_stay_and_the_gap_says_its_size() {
        let gap = "\n[taskloom: 4 bytes of output left out here]\n";
        assert_eq!(log_of(8, &["head", "1234", "tail"]), (format!("head{gap}tail"), 4));
        assert_eq!(log_of(8, &["head1234tail"]), (format!("head{gap}tail"), 4));
        let each: Vec<&str> = "head1234tail".split_inclusive(|_: char| true).collect();
        assert_eq!(log_of(8, &each), (format!("head{gap}tail"), 4));
    }

    #[test]
    fn a_full_disk_is_a_cap_and_never_an_error() {
        let mut log = Log::new(File::options().write(true).open("/dev/full").unwrap(), 100);
        log.append(b"lost");
        log.finish();
        assert_eq!((log.bytes(), log.cut_bytes()), (0, 4));
    }
}

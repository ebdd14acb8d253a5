//! A program of the operator's that changes bodies on their way.

use std::{process::Stdio, time::Duration};

use async_trait::async_trait;
use bridge_core::{
    limits,
    reason::{Reason, Refusal},
};
use bridge_ops::replay::setting::Editor;
use bytes::Bytes;
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWriteExt},
    process::Command,
    time::timeout,
};

/// How long one body may take. Ours: a filter takes milliseconds, and a lease must not end meanwhile.
const PATIENCE: Duration = Duration::from_secs(10);

/// A command line for `sh -c`; gets a body on standard input and prints the one to send.
#[derive(Clone, Debug)]
pub(super) struct Program(String);

impl Program {
    pub(super) fn new(command: &str) -> Self {
        Self(command.to_owned())
    }

    async fn pipe(&self, body: &Bytes) -> Result<Bytes, String> {
        let mut child = Command::new("sh")
            .args(["-c", &self.0])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0)
            .kill_on_drop(true)
            .spawn()
            .map_err(|error| format!("sh cannot be started: {error}"))?;
        let group = Group(child.id());
        let (stdin, stdout, stderr) = (child.stdin.take(), child.stdout.take(), child.stderr.take());
        let (Some(mut stdin), Some(stdout), Some(stderr)) = (stdin, stdout, stderr) else {
            return Err("sh has no standard streams".to_owned());
        };
        let write = async move {
            // A program that does not read all of it has its reasons; what it prints is judged.
            let _ = stdin.write_all(body).await;
        };
        // One byte more than any event has, so that too much is seen as that. What was read enough of is closed at once, or a
        // program that prints more would wait for ever.
        let output = self::read(stdout, limits::EVENT_BYTES_MAX as u64 + 1);
        let end = async {
            let status = child.wait().await;
            // What it left in the background holds its output open.
            drop(group);
            status
        };
        let (printed, complaint, (), status) = tokio::join!(output, self::read(stderr, 1024), write, end);
        let printed = printed.map_err(|error| format!("its output cannot be read: {error}"))?;
        let status = status.map_err(|error| error.to_string())?;
        if !status.success() {
            let complaint = complaint.unwrap_or_default();
            let complaint = String::from_utf8_lossy(&complaint);
            return Err(format!("{status}: {}", complaint.trim()));
        }
        Ok(Bytes::copy_from_slice(printed.trim_ascii()))
    }
}

/// The processes of a program, which end with it: `sh` alone would leave those that it started.
struct Group(Option<u32>);

impl Drop for Group {
    fn drop(&mut self) {
        if let Some(leader) = self.0 {
            let mut kill = std::process::Command::new("sh");
            kill.args(["-c", &format!("kill -s KILL -- -{leader}")]).stderr(Stdio::null());
            // That none is left is no error.
            let _ = kill.status();
        }
    }
}

/// All that comes, up to `max` bytes.
async fn read(from: impl AsyncRead + Unpin, max: u64) -> std::io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    from.take(max).read_to_end(&mut bytes).await?;
    Ok(bytes)
}

#[async_trait]
impl Editor for Program {
    async fn edit(&self, body: &Bytes) -> Result<Bytes, Refusal> {
        let edited = timeout(PATIENCE, self.pipe(body)).await;
        let edited = edited.unwrap_or_else(|_| Err(format!("took over {} s", PATIENCE.as_secs())));
        edited.map_err(|error| Refusal::new(Reason::InvalidEvent, format!("--edit-with: {error}")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_program_changes_refuses_or_fails() {
        let edit = async |command: &str, body: &'static str| Program::new(command).edit(&body.into()).await;
        assert_eq!(edit("sed s/a/b/", "{\"a\":1}").await.unwrap(), "{\"b\":1}");
        assert_eq!(edit("echo fixed", "ignored").await.unwrap(), "fixed");
        let refusal = edit("echo no >&2; exit 3", "x").await.unwrap_err();
        assert!(refusal.detail.contains("exit status: 3: no"), "{refusal}");
        assert!(edit("no-such-program-at-all", "x").await.is_err());
        let begun = std::time::Instant::now();
        let child = edit("sleep 100 & echo $!", "x").await.unwrap();
        assert!(begun.elapsed() < PATIENCE, "what it leaves in the background is not waited for");
        let child = String::from_utf8(child.to_vec()).unwrap();
        let runs = || {
            let status = std::fs::read_to_string(format!("/proc/{child}/status")).unwrap_or_default();
            status.contains("State:") && !status.contains("State:\tZ")
        };
        while runs() {
            assert!(begun.elapsed() < PATIENCE, "and it ends with it");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        let long = edit("head -c 3000000 /dev/zero", "x").await;
        assert!(long.map_or_else(
            |refusal| refusal.detail.contains("--edit-with"),
            |body| body.len() > limits::EVENT_BYTES_MAX
        ));
    }
}

//! `comet-edge run` on programs and on the network: what is started is ended, what disconnects comes back,
//! and no password is ever shown.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::thread::{Builder, JoinHandle, sleep};
use std::time::{Duration, Instant};

use anyhow::Context;
use comet_tests::fixture::{image, jpeg};
use comet_tests::program::{Finished, Program, comet_edge};
use comet_tests::shipped_model;
use tempfile::TempDir;

const LIMIT: Duration = Duration::from_secs(30);
const MULTIPART: &str = "200 OK\r\nContent-Type: multipart/x-mixed-replace; boundary=b";

/// `comet-edge run` with the shipped model.
fn run(words: &str) -> anyhow::Result<Program> {
    let program = comet_edge("run")?.arg("--model").arg(shipped_model("hands.int8.onnx"));
    Ok(program.limit(LIMIT).words(words))
}

fn frames(finished: &Finished) -> anyhow::Result<Vec<u64>> {
    Ok(finished.json_lines()?.iter().filter_map(|line| line["frame"].as_u64()).collect())
}

/// An error if a program wrote the word `secret` anywhere.
fn kept_the_secret(finished: Finished) -> anyhow::Result<Finished> {
    anyhow::ensure!(
        !finished.stdout.contains("secret") && !finished.stderr.contains("secret"),
        "{finished:?}"
    );
    Ok(finished)
}

/// A folder with programs that stand in for the real ones.
struct Programs(TempDir);

impl Programs {
    fn new() -> anyhow::Result<Self> {
        let programs = Self(tempfile::tempdir()?);
        let one = jpeg(&image(64, 48, 1))?;
        let two = jpeg(&image(64, 48, 2))?;
        fs::write(programs.path("clip.mjpeg"), [one, two].concat())?;
        let frame = [b"FRAME\n".as_slice(), &[90; 16 * 8 + 2 * 8 * 4]].concat();
        let header = b"YUV4MPEG2 W16 H8 F25:1 Ip A1:1 C420jpeg\n".as_slice();
        fs::write(programs.path("clip.y4m"), [header, &frame, &frame, &frame].concat())?;
        Ok(programs)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// Adds a shell script; it may use `$clips`, the folder of the clips, and notes its arguments.
    fn script(&self, name: &str, lines: &str) -> anyhow::Result<()> {
        let clips = self.0.path().display();
        let note = "printf '%s\\n' \"$@\" > \"$0.arguments\"";
        fs::write(self.path(name), format!("#!/bin/sh\nclips='{clips}'\n{note}\n{lines}\n"))?;
        fs::set_permissions(self.path(name), fs::Permissions::from_mode(0o755))?;
        Ok(())
    }

    /// What a script was called with, one argument a line.
    fn arguments(&self, name: &str) -> anyhow::Result<String> {
        let file = self.path(&format!("{name}.arguments"));
        fs::read_to_string(&file).with_context(|| file.display().to_string())
    }

    /// Puts the scripts before everything that is installed.
    fn first(&self, program: Program) -> Program {
        let path = std::env::var("PATH").unwrap_or_default();
        program.env("PATH", &format!("{}:{path}", self.0.path().display()))
    }

    /// Leaves nothing but the scripts to be found.
    fn only(&self, program: Program) -> Program {
        program.env("PATH", &self.0.path().display().to_string())
    }
}

/// Whether a process is there and not merely waiting to be cleared away.
fn is_alive(process: &str) -> bool {
    let stat = fs::read_to_string(format!("/proc/{process}/stat")).unwrap_or_default();
    stat.rsplit_once(") ").is_some_and(|(_, state)| !state.starts_with(['Z', 'X']))
}

fn are_gone_soon(processes: &[String]) -> anyhow::Result<()> {
    let deadline = Instant::now() + Duration::from_secs(2);
    while processes.iter().any(|process| is_alive(process)) {
        anyhow::ensure!(Instant::now() < deadline, "still there: {processes:?}");
        sleep(Duration::from_millis(10));
    }
    Ok(())
}

/// What a camera does with one connection.
#[derive(Clone, Debug)]
enum Visit {
    /// Responds with this head and body, and closes the connection.
    Respond(&'static str, Vec<u8>),
    /// Sends so many parts, and closes the connection.
    Parts(usize),
    /// Sends a head and then nothing.
    Silence,
}

/// A camera in the network, for so many connections; its thread returns the requests.
fn camera(visits: Vec<Visit>) -> anyhow::Result<(String, JoinHandle<anyhow::Result<String>>)> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let host = listener.local_addr()?.to_string();
    let serve = move || -> anyhow::Result<String> {
        let mut requests = String::new();
        for visit in visits {
            let (stream, _) = listener.accept()?;
            requests.push_str(&head_of(&stream)?);
            // A program that has read enough closes the connection, which is not a fault.
            let _ = receive(stream, &visit);
        }
        Ok(requests)
    };
    Ok((host, Builder::new().name("camera".into()).spawn(serve)?))
}

fn head_of(stream: &TcpStream) -> anyhow::Result<String> {
    let mut head = String::new();
    for line in BufReader::new(stream.try_clone()?).lines() {
        let line = line?;
        if line.is_empty() {
            break;
        }
        head.push_str(&line);
        head.push('\n');
    }
    Ok(head)
}

fn receive(mut stream: TcpStream, visit: &Visit) -> anyhow::Result<()> {
    match visit {
        Visit::Respond(head, body) => {
            write!(stream, "HTTP/1.1 {head}\r\nConnection: close\r\n\r\n")?;
            stream.write_all(body)?;
        }
        Visit::Parts(parts) => {
            write!(stream, "HTTP/1.1 {MULTIPART}\r\nConnection: close\r\n\r\n")?;
            let image = jpeg(&image(64, 48, 3))?;
            for _ in 0..*parts {
                write!(stream, "--b\r\nContent-Type: image/jpeg\r\n\r\n")?;
                stream.write_all(&image)?;
                write!(stream, "\r\n")?;
                sleep(Duration::from_millis(30));
            }
        }
        Visit::Silence => {
            write!(stream, "HTTP/1.1 {MULTIPART}\r\n\r\n")?;
            // Until the other side closes the connection.
            head_of(&stream)?;
        }
    }
    Ok(())
}

#[test]
fn a_video_is_decoded_by_ffmpeg_frame_by_frame_and_again_if_asked() -> anyhow::Result<()> {
    let programs = Programs::new()?;
    programs.script("ffmpeg", "cat \"$clips/clip.y4m\"")?;
    let video = programs.path("a clip[1].MP4");
    fs::write(&video, "what ffmpeg reads")?;
    let run = |words: &str| -> anyhow::Result<Program> {
        Ok(programs.first(run(words)?.arg("--source").arg(&video)))
    };
    assert_eq!(frames(&run("")?.run()?.succeeds()?)?, [0, 1, 2]);
    let arguments = programs.arguments("ffmpeg")?;
    assert!(arguments.contains(&format!("-i\nfile:{}\n", video.display())), "{arguments}");
    assert!(arguments.starts_with("-nostdin\n") && arguments.ends_with("\n-\n"), "{arguments}");
    // Most videos are tagged BT.709; Y4M cannot say so.
    assert!(arguments.contains("\n-vf\nscale=out_color_matrix=bt601\n"), "{arguments}");
    assert_eq!(frames(&run("--loop --frames 7")?.run()?.succeeds()?)?, [0, 1, 2, 3, 4, 5, 6]);
    Ok(())
}

#[test]
fn a_video_that_cannot_be_decoded_is_reported_with_what_ffmpeg_said() -> anyhow::Result<()> {
    let programs = Programs::new()?;
    let video = programs.path("clip.avi");
    fs::write(&video, "no video")?;
    let run = || -> anyhow::Result<Finished> { programs.only(run("--source")?.arg(&video)).run() };
    run()?.ends_with(4)?.says(&["clip.avi", "ffmpeg is not installed", "apt install ffmpeg"])?;
    programs.script("ffmpeg", "echo 'moov atom not found' >&2; exit 183")?;
    run()?.ends_with(4)?.says(&["exit status: 183", "moov atom not found"])?;
    programs.script("ffmpeg", "/bin/cat \"$clips/clip.y4m\"; echo 'cut off' >&2; exit 1")?;
    let finished = run()?.succeeds()?.says(&["cut off", "3 predicted", "1 corrupt"])?;
    assert_eq!(frames(&finished)?, [0, 1, 2]);
    Ok(())
}

#[test]
fn a_csi_camera_is_read_by_the_makers_program() -> anyhow::Result<()> {
    let programs = Programs::new()?;
    programs.script("rpicam-vid", "while :; do cat \"$clips/clip.mjpeg\"; sleep 0.05; done")?;
    let words = "--source csi://1 --width 320 --height 240 --fps 15 --frames 3";
    let finished = programs.first(run(words)?).run()?.succeeds()?;
    assert!(finished.json_lines()?.iter().all(|line| line["source"] == "csi1"), "{}", finished.stdout);
    let expected = "-t 0 -n --camera 1 --codec mjpeg --width 320 --height 240 --framerate 15 -o -";
    assert_eq!(programs.arguments("rpicam-vid")?.split_whitespace().collect::<Vec<_>>().join(" "), expected);
    programs.script("rpicam-vid", "echo 'no cameras available' >&2; exit 255")?;
    programs.first(run(words)?).run()?.ends_with(4)?.says(&["csi1", "no cameras available"])?;
    let nothing = Programs::new()?;
    let words = ["rpicam-vid", "libcamera-vid", "gst-launch-1.0", "apt install"];
    nothing.only(run("--source csi://0")?).run()?.ends_with(4)?.says(&words)?;
    Ok(())
}

#[test]
fn no_program_outlives_a_run_not_even_one_that_ignores_signals() -> anyhow::Result<()> {
    let programs = Programs::new()?;
    let stubborn = "trap '' TERM INT HUP\necho $$ >> \"$clips/processes\"";
    programs.script("stubborn", &format!("{stubborn}\nwhile :; do sleep 0.1; done"))?;
    let frames = "while :; do cat \"$clips/clip.mjpeg\"; sleep 0.1; done";
    programs.script("rpicam-vid", &format!("{stubborn}\nstubborn &\n{frames}"))?;
    let processes = || -> Vec<String> {
        let text = fs::read_to_string(programs.path("processes")).unwrap_or_default();
        text.lines().map(str::to_owned).collect()
    };
    let mut running = programs.first(run("--source csi://0")?).spawn()?;
    running.wait_until("a prediction and two processes", |running| {
        running.stdout().contains('\n') && processes().len() == 2
    })?;
    assert!(processes().iter().all(|process| is_alive(process)));
    let begun = Instant::now();
    running.signal("TERM")?;
    running.finish()?.succeeds()?.says(&["predicted"])?;
    assert!(begun.elapsed() < Duration::from_secs(1), "{:?}", begun.elapsed());
    are_gone_soon(&processes())
}

#[test]
fn a_command_is_run_without_a_shell_and_started_again_when_it_ends() -> anyhow::Result<()> {
    let programs = Programs::new()?;
    programs.script("once", "cat \"$clips/clip.mjpeg\"; sleep 0.3")?;
    let program = programs.first(run("--frames 3 --source")?.arg("exec:once 'a b' $HOME --key=secret"));
    let finished = kept_the_secret(program.run()?.succeeds()?)?;
    let finished = finished.says(&["exec:once disconnected (once ended)", "gives frames again"])?;
    assert!(frames(&finished)?.is_sorted_by(|one, next| one < next), "{}", finished.stdout);
    assert_eq!(programs.arguments("once")?, "a b\n$HOME\n--key=secret\n");

    let missing = run("--source")?.arg("exec:no-such-program secret").run()?.ends_with(4)?;
    kept_the_secret(missing)?.says(&["no-such-program is not installed"])?;
    let open = run("--source")?.arg("exec:cat 'secret").run()?.ends_with(2)?;
    kept_the_secret(open)?.says(&["quotation mark"])?;
    run("--source")?.arg("exec:echo hello").run()?.ends_with(5)?.says(&["it begins with 'hello"])?;
    Ok(())
}

#[test]
fn no_password_of_an_rtsp_camera_is_shown() -> anyhow::Result<()> {
    let programs = Programs::new()?;
    let address = "rtsp://user:secret@camera.invalid/1?token=secret";
    let camera = |words: &str| -> anyhow::Result<Finished> {
        programs.first(run(words)?.arg("--source").arg(address)).run()
    };
    programs.script("ffmpeg", "cat \"$clips/clip.y4m\"; sleep 1")?;
    let finished = kept_the_secret(camera("--frames 1")?.succeeds()?)?;
    assert_eq!(finished.json()?["source"], "rtsp://user:***@camera.invalid/1?***");
    let arguments = programs.arguments("ffmpeg")?;
    assert!(arguments.contains(&format!("-rtsp_transport\ntcp\n-i\n{address}\n")), "{arguments}");

    programs.script("ffmpeg", "echo \"[rtsp] $*: 401 Unauthorized\" >&2; exit 1")?;
    let finished = kept_the_secret(camera("--no-reconnect")?.ends_with(4)?)?;
    finished.says(&["rtsp://user:***@camera.invalid/1", "401 Unauthorized", "is lost"])?;
    let https = run("--source https://user:secret@camera.invalid/")?.run()?;
    kept_the_secret(https.ends_with(2)?)?.says(&["exec:ffmpeg", "valid sources: "])?;
    Ok(())
}

#[test]
fn a_camera_in_the_network_that_disconnects_comes_back() -> anyhow::Result<()> {
    let challenge = || Visit::Respond("401 Unauthorized\r\nWWW-Authenticate: Basic realm=\"camera\"", vec![]);
    let visits = [3, 0, 200].into_iter().flat_map(|parts| [challenge(), Visit::Parts(parts)]);
    let (host, requests) = camera(visits.collect())?;
    let program = run("--frames 8 --source")?.arg(format!("http://user:secret@{host}/live"));
    let finished = kept_the_secret(program.run()?.succeeds()?)?;
    let said = ["(the server ended the stream)", "gives frames again", "1 times opened again"];
    let finished = finished.says(&said)?;
    assert!(frames(&finished)?.is_sorted_by(|one, next| one < next), "{}", finished.stdout);
    let requests = requests.join().map_err(|_| anyhow::anyhow!("the camera panicked"))??;
    assert_eq!(requests.matches("GET /live HTTP/1.1\n").count(), 6, "{requests}");
    // "user:secret" in Base64.
    assert_eq!(requests.matches("Basic dXNlcjpzZWNyZXQ=\n").count(), 3, "{requests}");

    let (host, _requests) = camera(vec![Visit::Parts(3)])?;
    let program = run("--no-reconnect --source")?.arg(format!("http://{host}/live"));
    program.run()?.ends_with(4)?.says(&["disconnected", "is lost"])?;
    Ok(())
}

#[test]
fn a_server_without_a_stream_is_reported_with_its_response() -> anyhow::Result<()> {
    let page = |head| Visit::Respond(head, b"<html>".to_vec());
    for (head, said) in [
        ("404 Not Found", "404 Not Found"),
        ("401 Unauthorized", "refuses the user or the password"),
        ("200 OK\r\nContent-Type: text/html", "'text/html'"),
    ] {
        // A second time with the login, where it is asked for.
        let (host, _requests) = camera(vec![page(head), page(head)])?;
        let program = run("--source")?.arg(format!("http://user:secret@{host}/live"));
        kept_the_secret(program.run()?.ends_with(4)?)?.says(&[host.as_str(), "cannot be opened", said])?;
    }
    let snapshot = Visit::Respond("200 OK\r\nContent-Type: image/jpeg", jpeg(&image(64, 48, 1))?);
    let (host, _requests) = camera(vec![snapshot])?;
    let finished = run("--source")?.arg(format!("http://{host}/snapshot.jpg")).run()?.succeeds()?;
    assert_eq!(frames(&finished)?, [0]);
    Ok(())
}

#[test]
fn a_silent_server_does_not_hold_a_run_that_was_asked_to_end() -> anyhow::Result<()> {
    let (host, requests) = camera(vec![Visit::Silence])?;
    let mut running = run("--source")?.arg(format!("http://{host}/live")).spawn()?;
    running.wait_until("the beginning", |running| running.stderr().contains(" http://"))?;
    sleep(Duration::from_millis(200));
    let begun = Instant::now();
    running.signal("TERM")?;
    running.finish()?.succeeds()?;
    assert!(begun.elapsed() < Duration::from_millis(500), "{:?}", begun.elapsed());
    // The connection is closed too: the camera's thread ends.
    let requests = requests.join().map_err(|_| anyhow::anyhow!("the camera panicked"))??;
    assert!(requests.starts_with("GET /live"), "{requests}");
    Ok(())
}

#[test]
fn a_real_video_is_decoded_where_ffmpeg_is_installed() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let video = folder.path().join("clip.avi");
    let Some(()) = make_video(&video)? else {
        eprintln!("not tried: ffmpeg is not installed");
        return Ok(());
    };
    let finished = run("--source")?.arg(&video).run()?.succeeds()?;
    assert_eq!(frames(&finished)?, [0, 1, 2, 3, 4]);
    Ok(())
}

/// Five frames of a test image; `None` without ffmpeg.
fn make_video(path: &Path) -> anyhow::Result<Option<()>> {
    let words = "-nostdin -loglevel error -f lavfi -i testsrc=size=64x48:rate=5:duration=1 -c:v mjpeg";
    let status = std::process::Command::new("ffmpeg").args(words.split(' ')).arg(path).status();
    match status {
        Ok(status) => {
            anyhow::ensure!(status.success(), "ffmpeg {words}: {status}");
            Ok(Some(()))
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error.into()),
    }
}

//! Faults of sources that users of such programs report: disks, names, logins, servers and colours as they are.

use std::ffi::OsString;
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::ffi::OsStringExt;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;
use std::thread::{Builder, JoinHandle};
use std::time::Duration;

use anyhow::{Context, ensure};
use comet_edge::source::{OpenOptions, SourceSpec};
use comet_tests::fixture::{image, jpeg};
use comet_tests::program::{Finished, Program, comet_edge};
use comet_tests::shipped_model;

fn with_model(words: &str) -> anyhow::Result<Program> {
    let program = comet_edge(words)?.arg("--model").arg(shipped_model("hands.int8.onnx"));
    Ok(program.limit(Duration::from_secs(30)))
}

fn run(source: impl AsRef<std::ffi::OsStr>) -> anyhow::Result<Program> {
    Ok(with_model("run")?.arg("--source").arg(source))
}

/// File names in the order of the predictions.
fn names(finished: &Finished) -> anyhow::Result<Vec<String>> {
    let name = |line: serde_json::Value| {
        let source = line["source"].as_str().unwrap_or_default().to_owned();
        source.rsplit('/').next().unwrap_or_default().to_owned()
    };
    Ok(finished.json_lines()?.into_iter().map(name).collect())
}

fn frames(finished: &Finished) -> anyhow::Result<usize> {
    Ok(finished.json_lines()?.len())
}

fn write(path: &Path, bytes: &[u8]) -> anyhow::Result<()> {
    fs::create_dir_all(path.parent().context("a file lies in a folder")?)?;
    fs::write(path, bytes).with_context(|| path.display().to_string())
}

/// Writes an image; no two of them are alike.
fn write_image(path: &Path, number: u8) -> anyhow::Result<()> {
    write(path, &jpeg(&image(64, 48, number))?)
}

/// So many images behind each other.
fn stream(count: u8) -> anyhow::Result<Vec<u8>> {
    let images = (0..count).map(|number| jpeg(&image(64, 48, number)));
    Ok(images.collect::<anyhow::Result<Vec<_>>>()?.concat())
}

#[test]
fn a_disk_with_a_folder_that_cannot_be_read_is_read_without_it() -> anyhow::Result<()> {
    let disk = tempfile::tempdir()?;
    write_image(&disk.path().join("DCIM/100/a.jpg"), 1)?;
    write_image(&disk.path().join("lost+found/b.jpg"), 2)?;
    let forbidden = disk.path().join("lost+found");
    fs::set_permissions(&forbidden, fs::Permissions::from_mode(0o000))?;
    let outcome = read_beside(&forbidden, disk.path());
    fs::set_permissions(&forbidden, fs::Permissions::from_mode(0o700))?;
    outcome
}

fn read_beside(forbidden: &Path, disk: &Path) -> anyhow::Result<()> {
    if fs::read_dir(forbidden).is_ok() {
        eprintln!("not tried: nothing is forbidden to the superuser");
        return Ok(());
    }
    for program in [run(disk)?, with_model("predict --json")?.arg(disk)] {
        let finished =
            program.run()?.succeeds()?.says(&["lost+found", "cannot be read", "ermission denied"])?;
        assert_eq!(names(&finished)?, ["a.jpg"]);
    }
    Ok(())
}

#[test]
fn hidden_files_and_previews_are_not_images() -> anyhow::Result<()> {
    let disk = tempfile::tempdir()?;
    for (number, name) in
        ["a.jpg", ".hidden.jpg", "@eaDir/a.jpg/thumb.jpg", ".thumbnails/b.jpg"].iter().enumerate()
    {
        write_image(&disk.path().join(name), number as u8)?;
    }
    // What macOS writes beside each file of a disk that is not its own.
    write(&disk.path().join("._a.jpg"), b"\0\x05\x16\x07\0\x02\0\0Mac OS X")?;
    for program in [run(disk.path())?, with_model("predict --json")?.arg(disk.path())] {
        let finished = program.run()?.succeeds()?.says(&[])?;
        assert_eq!(names(&finished)?, ["a.jpg"]);
        assert!(!finished.stderr.contains("skipped"), "{}", finished.stderr);
    }
    Ok(())
}

#[test]
fn an_existing_file_is_that_file_even_if_its_name_looks_like_a_pattern() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    write(&folder.path().join("clip [1].mjpeg"), &stream(5)?)?;
    write(&folder.path().join("clip 1.mjpeg"), &stream(1)?)?;
    let finished = run(folder.path().join("clip [1].mjpeg"))?.run()?.succeeds()?;
    assert_eq!(frames(&finished)?, 5);
    write_image(&folder.path().join("a [1].jpg"), 1)?;
    write_image(&folder.path().join("a 1.jpg"), 2)?;
    for program in [
        run(folder.path().join("a [1].jpg"))?,
        with_model("predict --json")?.arg(folder.path().join("a [1].jpg")),
    ] {
        assert_eq!(names(&program.run()?.succeeds()?)?, ["a [1].jpg"]);
    }
    Ok(())
}

#[test]
fn a_path_that_is_not_utf8_is_read_by_run_and_predict_alike() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let path = folder.path().join(OsString::from_vec(b"caf\xe9.jpg".to_vec()));
    if write_image(&path, 1).is_err() {
        eprintln!("not tried: this file system takes UTF-8 only");
        return Ok(());
    }
    for program in [run(&path)?, with_model("predict --json")?.arg(&path)] {
        assert_eq!(frames(&program.run()?.succeeds()?)?, 1);
    }
    Ok(())
}

#[test]
fn a_folder_in_which_nothing_can_be_read_ends_with_the_code_for_files() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    for name in ["a.jpg", "b.png"] {
        write(&folder.path().join(name), b"not an image")?;
    }
    for program in [run(folder.path())?, with_model("predict --json")?.arg(folder.path())] {
        program.run()?.ends_with(5)?.says(&["a.jpg", "error: "])?;
    }
    // One that can be read is enough.
    write_image(&folder.path().join("c.jpg"), 1)?;
    assert_eq!(names(&run(folder.path())?.run()?.succeeds()?)?, ["c.jpg"]);
    Ok(())
}

/// A camera in the network that gives one response after the other; its thread returns the requests.
fn camera(responses: Vec<Vec<u8>>) -> anyhow::Result<(String, JoinHandle<anyhow::Result<Vec<String>>>)> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let host = listener.local_addr()?.to_string();
    let serve = move || -> anyhow::Result<Vec<String>> {
        let mut requests = Vec::new();
        for response in responses {
            let (mut stream, _) = listener.accept()?;
            requests.push(head_of(&stream)?);
            // A program that has read enough closes the connection, which is not a fault.
            let _ = stream.write_all(&response);
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

fn response(head: &str, body: &[u8]) -> Vec<u8> {
    [format!("HTTP/1.1 {head}\r\nConnection: close\r\n\r\n").as_bytes(), body].concat()
}

/// Parts of a stream, one image each.
fn parts(count: u8) -> anyhow::Result<Vec<u8>> {
    let mut parts = Vec::new();
    for number in 0..count {
        parts.extend(b"--b\r\nContent-Type: image/jpeg\r\n\r\n");
        parts.extend(jpeg(&image(64, 48, number))?);
        parts.extend(b"\r\n");
    }
    Ok(parts)
}

#[test]
fn a_camera_with_digest_login_is_read_and_never_sees_the_password() -> anyhow::Result<()> {
    let challenge = "401 Unauthorized\r\nWWW-Authenticate: Digest realm=\"camera\", nonce=\"abc123\"";
    let images = response("200 OK\r\nContent-Type: multipart/x-mixed-replace; boundary=b", &parts(2)?);
    let (host, requests) = camera(vec![response(challenge, b""), images])?;
    let program = run(format!("http://user:secret@{host}/live"))?.words("--frames 1");
    assert_eq!(frames(&program.run()?.succeeds()?)?, 1);
    let requests = requests.join().map_err(|_| anyhow::anyhow!("the camera panicked"))??;
    // MD5 of "user:camera:secret", the nonce, and MD5 of "GET:/live".
    let expected = "response=\"6ce7bdd4910eb1351cc7a780e94b63ea\"";
    ensure!(requests.get(1).is_some_and(|request| request.contains(expected)), "{requests:?}");
    // "user:secret" in Base64.
    ensure!(!format!("{requests:?}").contains("dXNlcjpzZWNyZXQ="), "{requests:?}");

    let (host, _requests) = camera(vec![response(challenge, b""), response(challenge, b"")])?;
    let refused = run(format!("http://user:secret@{host}/live"))?.run()?.ends_with(4)?;
    ensure!(!refused.stderr.contains("secret"), "{}", refused.stderr);
    refused.says(&["401 Unauthorized and refuses the user or the password"])?;
    let (host, _requests) = camera(vec![response(challenge, b"")])?;
    let missing = run(format!("http://{host}/live"))?.run()?.ends_with(4)?;
    missing.says(&["401 Unauthorized and asks for a login", "USER:PASSWORD@HOST"])?;
    Ok(())
}

#[test]
fn a_stream_over_http_without_a_content_type_or_with_a_wrong_one_is_read() -> anyhow::Result<()> {
    for head in ["200 OK", "200 OK\r\nContent-Type: application/octet-stream"] {
        let (host, _requests) = camera(vec![response(head, &parts(3)?)])?;
        let finished = run(format!("http://{host}/live"))?.words("--frames 1").run()?.succeeds()?;
        assert_eq!(frames(&finished)?, 1, "{head}");
    }
    let (host, _requests) = camera(vec![response("200 OK", b"<html>")])?;
    let page = run(format!("http://{host}/"))?.run()?.ends_with(4)?;
    page.says(&["no Content-Type", "begins with '<html>'"])?;
    Ok(())
}

#[test]
fn ten_bit_video_is_refused_with_the_option_that_makes_ffmpeg_convert_it() -> anyhow::Result<()> {
    let stream = b"YUV4MPEG2 W2 H2 F25:1 C420p10 XYSCSS=420P10\nFRAME\n".to_vec();
    let finished = run("-")?.input(stream).run()?.ends_with(5)?;
    finished.says(&["C420p10", "more than 8 bits", "-pix_fmt yuv420p"])?;
    // Without '-strict -1' ffmpeg writes nothing.
    let finished = run("-")?.input(Vec::new()).run()?.ends_with(5)?;
    finished.says(&["it is empty", "-pix_fmt yuv420p"])?;
    Ok(())
}

#[test]
fn colours_of_a_video_that_is_tagged_bt709_are_right_where_ffmpeg_is_installed() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let video = folder.path().join("red.mp4");
    let words = "-nostdin -loglevel error -f lavfi -i color=c=red:size=64x48:rate=5:duration=1 \
                 -vf scale=out_color_matrix=bt709 -pix_fmt yuv420p -colorspace bt709 -color_primaries bt709 \
                 -color_trc bt709 -c:v libx264";
    let made = Command::new("ffmpeg").args(words.split_whitespace()).arg(&video).output();
    if !made.is_ok_and(|made| made.status.success()) {
        eprintln!("not tried: there is no ffmpeg with libx264");
        return Ok(());
    }
    let mut source = SourceSpec::Path(video).open(&OpenOptions::default())?;
    let frame = source.next()?.context("a frame")?.decode()?;
    let pixel = frame.get_pixel(32, 24);
    // Read as BT.601 without the conversion, it is (231, 0, 1).
    ensure!(pixel.0[0] >= 245 && pixel.0[1] <= 10 && pixel.0[2] <= 10, "{pixel:?}");
    Ok(())
}

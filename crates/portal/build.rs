//! Puts the files of `portal/dist` into the program, as `npm run build` has left them: each compressed in two ways.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::{env, fs, io};

/// From the package's folder.
const DIST: &str = "../../portal/dist";

fn main() -> io::Result<()> {
    // Of this checkout, whichever one has compiled this script: several may share what is compiled.
    let package = PathBuf::from(env::var_os("CARGO_MANIFEST_DIR").unwrap_or_default());
    let dist = package.join(DIST);
    println!("cargo::rerun-if-changed={DIST}");
    println!("cargo::rerun-if-env-changed=CARGO_MANIFEST_DIR");
    let mut names = Vec::new();
    collect(&dist, String::new(), &mut names)?;
    names.sort();
    let mut source = String::from("&[\n");
    for name in &names {
        let path = |extension: &str| dist.join(format!("{name}.{extension}"));
        let _ = writeln!(
            source,
            "    File {{ name: {name:?}, brotli: include_bytes!({:?}), gzip: include_bytes!({:?}) }},",
            path("br"),
            path("gz")
        );
    }
    source.push(']');
    let out = PathBuf::from(env::var_os("OUT_DIR").unwrap_or_default());
    fs::write(out.join("files.rs"), source)
}

/// The names of all files below a folder of which both forms are there.
fn collect(folder: &Path, prefix: String, names: &mut Vec<String>) -> io::Result<()> {
    // A program without the portal can be built too, and says so when somebody asks for it.
    let Ok(entries) = fs::read_dir(folder) else { return Ok(()) };
    for entry in entries {
        let entry = entry?;
        let name = format!("{prefix}{}", entry.file_name().to_string_lossy());
        if entry.file_type()?.is_dir() {
            collect(&entry.path(), format!("{name}/"), names)?;
        } else if let Some(name) = name.strip_suffix(".gz")
            && folder.join(format!("{}.br", entry.file_name().to_string_lossy().trim_end_matches(".gz"))).exists()
        {
            names.push(name.to_owned());
        }
    }
    Ok(())
}

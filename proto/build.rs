//! Compiles `proto/**/*.proto` with protox (no protoc needed) into Rust types, tonic services and
//! one descriptor set per package.

use std::{env, error::Error, fs, path::Path};

const PACKAGES: [(&str, &[&str]); 3] = [
    ("gazetteer", &["gazetteer/v1/gazetteer.proto"]),
    (
        "cutover",
        &[
            "cutover/v1/control_plane.proto",
            "cutover/v1/operator.proto",
        ],
    ),
    ("grpc", &["grpc/binarylog/v1/binarylog.proto"]),
];

fn main() -> Result<(), Box<dyn Error>> {
    let out = env::var("OUT_DIR")?;
    for (package, files) in PACKAGES {
        println!("cargo::rerun-if-changed={package}");
        let mut compiler = protox::Compiler::new(["."])?;
        compiler
            .include_source_info(true)
            .include_imports(true)
            .open_files(files)?;
        // `compile_fds` ignores `file_descriptor_set_path`, and re-encoding would lose extension
        // options, so the set is written here.
        let encoded = compiler.encode_file_descriptor_set();
        fs::write(Path::new(&out).join(format!("{package}.bin")), encoded)?;
        tonic_prost_build::configure()
            .emit_rerun_if_changed(false)
            .bytes(".")
            .compile_fds(compiler.file_descriptor_set())?;
    }
    Ok(())
}

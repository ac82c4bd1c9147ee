//! Clients that others' generators make of `/openapi.json` are compiled, and say and understand what the service does.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value, json};
use support::service::{Service, TOKEN};

/// A generator, how it is run in a folder that holds `openapi.json`, and the program that uses what it made.
const GENERATORS: [(&str, &[&str], &[&str]); 4] = [
    (
        "openapi-typescript",
        &["node_modules/.bin/openapi-typescript", "openapi.json", "--output", "generated/types.ts"],
        &["node", "built/typed.js"],
    ),
    (
        "@hey-api/openapi-ts",
        &["node_modules/.bin/openapi-ts", "-i", "openapi.json", "-o", "generated/sdk", "-c", "@hey-api/client-fetch"],
        &["node", "built/client.js"],
    ),
    (
        "openapi-python-client",
        &[
            "bin/openapi-python-client",
            "generate",
            "--path",
            "openapi.json",
            "--output-path",
            "generated_client",
            "--meta",
            "none",
        ],
        &["bin/python", "client.py"],
    ),
    (
        "datamodel-code-generator",
        &[
            "bin/datamodel-codegen",
            "--input",
            "openapi.json",
            "--input-file-type",
            "openapi",
            "--output",
            "generated_models.py",
            "--output-model-type",
            "pydantic_v2.BaseModel",
        ],
        &["bin/python", "models.py"],
    ),
];

#[tokio::test]
async fn clients_of_four_generators_compile_and_say_what_they_mean() {
    let service = Service::start("embedded", &[]).await;
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path();
    prepare(here, &service.api().get("/openapi.json").await.ok());
    for (name, generate, _) in GENERATORS {
        run(here, name, generate, &[]);
    }
    run(here, "the TypeScript compiler", &["node_modules/.bin/tsc", "--project", "."], &[]);

    let server = format!("http://{}", service.api().address());
    // A member that is known and has a blank, and members that nobody knows.
    let message = json!({
        "whatsapp account": {"phone": "+972540000000"},
        "contact": {"full name": "Jane Smith", "phone": "+972550000000", "labels": ["vip"]},
        "direction": "sent", "timestamp": "2021-02-24T06:25:29+0000", "message_id": "m-1", "text": "Hello!",
        "custom": {"a": 1},
    });
    for (name, _, program) in GENERATORS {
        let printed = run(here, name, program, &[&server, TOKEN, &message.to_string()]);
        let told: Value = serde_json::from_str(&printed).unwrap_or_else(|error| panic!("{name}: {error}: {printed}"));
        assert_eq!(told["sent"], message, "{name}");
        assert_eq!(told["name"], "Jane Smith", "{name}");
        assert_eq!(told["others"], json!([["vip"], {"a": 1}]), "{name}");
        assert!(told["id"].as_str().is_some_and(|id| id.ends_with("-0")), "{name}: {told}");
        assert_eq!(told["webhook"]["url"], "https://crm.example.com/hook", "{name}");
        assert_eq!(told["webhook"]["status"], "disabled", "{name}");
    }
}

/// The programs and the description, beside the installed generators.
fn prepare(here: &Path, description: &Value) {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let installed = root.join("target/generators");
    assert!(installed.join("installed").exists(), "{} is not there; `make tools` installs it", installed.display());
    for entry in std::fs::read_dir(root.join("tests/facade/generators")).unwrap() {
        let file = entry.unwrap().path();
        std::fs::copy(&file, here.join(file.file_name().unwrap())).unwrap();
    }
    for part in ["node_modules", "bin", "lib", "pyvenv.cfg"] {
        std::os::unix::fs::symlink(installed.join(part), here.join(part)).unwrap();
    }
    std::fs::create_dir(here.join("generated")).unwrap();
    std::fs::write(here.join("openapi.json"), description.to_string()).unwrap();
}

/// What the program prints.
fn run(here: &Path, name: &str, command: &[&str], more: &[&str]) -> String {
    let (program, arguments) = command.split_first().unwrap();
    // The folder's own programs before the system's: the generators call others that are installed with them.
    let path = std::env::var_os("PATH").unwrap_or_default();
    let path = std::iter::once(here.join("bin")).chain(std::env::split_paths(&path));
    let output = Command::new(if program.contains('/') { here.join(program) } else { PathBuf::from(program) })
        .args(arguments)
        .args(more)
        .env("PATH", std::env::join_paths(path).unwrap())
        .current_dir(here)
        .output()
        .unwrap_or_else(|error| panic!("{name}: {program}: {error}"));
    let said = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert!(output.status.success(), "{name}: {}{}", said(&output.stdout), said(&output.stderr));
    said(&output.stdout)
}

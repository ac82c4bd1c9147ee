//! The samples that the screen, README and src/docs/integrators.md show are run, each by its own language, on what we sign.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use outbound::app::now;
use outbound::sign::{Secret, sign};
use serde_json::json;

const BODY: &str = r#"{"message":{"message_id":"m-1","text":"café ☕"}}"#;
const ID: &str = "msg_3_1769860800000-0";

/// A language, the file of its sample, and how a request is put to the sample: the program prints `true`
/// or `false`.
struct Language {
    name: &'static str,
    file: &'static str,
    command: &'static [&'static str],
}

const LANGUAGES: [Language; 3] = [
    Language {
        name: "Python",
        file: "verify.py",
        command: &[
            "python3",
            "-c",
            "import json, sys\n\
             exec(open(sys.argv[1]).read())\n\
             asked = json.loads(sys.argv[2])\n\
             print(str(verify(asked['secret'], asked['headers'], asked['body'].encode())).lower())",
        ],
    },
    Language {
        name: "Node",
        file: "verify.mjs",
        command: &[
            "node",
            "-e",
            "import(process.argv[1]).then(({ verify }) => {\
               const asked = JSON.parse(process.argv[2]);\
               console.log(verify(asked.secret, asked.headers, Buffer.from(asked.body)));\
             });",
        ],
    },
    Language {
        name: "PHP",
        file: "verify.php",
        command: &[
            "php",
            "-r",
            "require $argv[1]; $asked = json_decode($argv[2], true);\
             echo json_encode(verify($asked['secret'], $asked['headers'], $asked['body']));",
        ],
    },
];

#[test]
fn every_sample_verifies_what_we_sign_and_nothing_else() {
    let secret = Secret::generate(&mut rand::rng());
    let other = Secret::generate(&mut rand::rng());
    let at = now().unix_seconds();
    let signed = |secrets: &[Secret], at| sign(secrets, ID, at, BODY.as_bytes());
    for (what, at, signature, body, expected) in [
        ("a signature of ours", at, signed(std::slice::from_ref(&secret), at), BODY, true),
        ("the second of two signatures", at, signed(&[other.clone(), secret.clone()], at), BODY, true),
        ("another secret", at, signed(&[other], at), BODY, false),
        ("another body", at, signed(std::slice::from_ref(&secret), at), "{}", false),
        ("another time", at + 1, signed(std::slice::from_ref(&secret), at), BODY, false),
        ("an old one", at - 400, signed(std::slice::from_ref(&secret), at - 400), BODY, false),
        ("a part of a signature", at, signed(std::slice::from_ref(&secret), at)[..20].to_owned(), BODY, false),
    ] {
        let asked = json!({
            "secret": secret.expose(),
            "headers": {"webhook-id": ID, "webhook-timestamp": at.to_string(), "webhook-signature": signature},
            "body": body,
        });
        for language in LANGUAGES {
            assert_eq!(language.verify(&asked), expected.to_string(), "{what}, {}", language.name);
        }
    }
}

#[test]
fn the_documents_show_the_same_samples() {
    let page = fs::read_to_string("src/docs/integrators.md").unwrap();
    let readme = fs::read_to_string("README.md").unwrap();
    let python =
        fs::read_to_string(LANGUAGES.iter().find(|language| language.name == "Python").unwrap().sample()).unwrap();
    assert!(readme.contains(&python), "README.md does not show the sample in Python as it is");
    for language in LANGUAGES {
        let sample = fs::read_to_string(language.sample()).unwrap();
        assert!(page.contains(&sample), "src/docs/integrators.md does not show {} as it is", language.file);
    }
}

impl Language {
    fn sample(&self) -> PathBuf {
        PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("src/http/screen/samples").join(self.file)
    }

    fn verify(&self, asked: &serde_json::Value) -> String {
        let [program, arguments @ ..] = self.command else { panic!("a program") };
        let mut command = Command::new(program);
        let output = command.args(arguments).arg(self.sample()).arg(asked.to_string()).output();
        let output = output.unwrap_or_else(|error| panic!("{program}, which `make tools` installs: {error}"));
        assert!(output.status.success(), "{}: {}", self.name, String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    }
}

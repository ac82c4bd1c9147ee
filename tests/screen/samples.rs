//! The samples that the screen, README and src/docs/integrators.md show are run, each by its own language, on what we sign.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::process::Command;

use outbound::app::now;
use outbound::sign::{Secret, sign};
use serde_json::json;

const BODY: &str = r#"{"message":{"message_id":"m-1","text":"café ☕"}}"#;
const ID: &str = "msg_3_1769860800000-0";

/// A language, the file of its sample, and a program that puts a list of requests to the sample, each with its headers as
/// the frameworks of the language have them: it prints by request and framework whether the sample takes it.
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
            r#"
import email.message, json, sys
exec(open(sys.argv[1]).read())

def standard_library(headers):
    message = email.message.Message()
    for name, value in headers.items():
        message[name] = value
    return message

frameworks = {
    "a plain dict": dict,
    "as they are written (AWS Lambda)": lambda headers: {name.title(): value for name, value in headers.items()},
    "WSGI's environ (Flask, Django's META)": lambda headers: {
        "wsgi.version": (1, 0), **{"HTTP_" + name.upper().replace("-", "_"): value for name, value in headers.items()}},
    "http.server": standard_library,
}
print(json.dumps([{name: verify(asked["secret"], of(asked["headers"]), asked["body"].encode())
                   for name, of in frameworks.items()} for asked in json.loads(sys.argv[2])]))
"#,
        ],
    },
    Language {
        name: "Node",
        file: "verify.mjs",
        command: &[
            "node",
            "-e",
            r#"
import(process.argv[1]).then(({ verify }) => {
  const title = (name) => name.replace(/(^|-)./g, (first) => first.toUpperCase());
  const frameworks = {
    "Node and Express": (headers) => headers,
    "as they are written (AWS Lambda)": (headers) =>
      Object.fromEntries(Object.entries(headers).map(([name, value]) => [title(name), value])),
    "a Headers (fetch, Next.js, Hono)": (headers) => ({ entries: () => Object.entries(headers)[Symbol.iterator]() }),
    "a Map": (headers) => new Map(Object.entries(headers)),
  };
  const all = JSON.parse(process.argv[2]).map(({ secret, headers, body }) =>
    Object.fromEntries(Object.entries(frameworks).map(([name, of]) =>
      [name, verify(secret, of(headers), Buffer.from(body))])));
  console.log(JSON.stringify(all));
});
"#,
        ],
    },
    Language {
        name: "PHP",
        file: "verify.php",
        command: &[
            "php",
            "-d",
            "error_reporting=-1",
            "-d",
            "display_errors=stderr",
            "-r",
            r#"
require $argv[1];
set_error_handler(function ($number, $message) { throw new ErrorException($message); });
$named = fn($of) => fn($headers) => array_combine(array_map($of, array_keys($headers)), array_values($headers));
$frameworks = [
    'lower case' => fn($headers) => $headers,
    'getallheaders' => $named(fn($name) => ucwords($name, '-')),
    '$_SERVER of php-fpm' => fn($headers) => $_SERVER + $named(fn($name) => 'HTTP_' . strtoupper(strtr($name, '-', '_')))($headers),
    'lists (PSR-7, Laravel, Symfony)' => fn($headers) => array_map(fn($value) => [$value], $headers),
];
$verified = fn($asked) => array_map(
    fn($of) => verify($asked['secret'], $of($asked['headers']), $asked['body']), $frameworks);
echo json_encode(array_map($verified, json_decode($argv[2], true)));
"#,
        ],
    },
];

#[test]
fn every_sample_verifies_what_we_sign_and_nothing_else_whatever_the_framework() {
    let secret = Secret::generate(&mut rand::rng());
    let other = Secret::generate(&mut rand::rng());
    let at = now().unix_seconds();
    let signed = |secrets: &[Secret], at| sign(secrets, ID, at, BODY.as_bytes());
    let ours = signed(std::slice::from_ref(&secret), at);
    let headers = |id: &str, at: &str, signature: &str| json!({"webhook-id": id, "webhook-timestamp": at, "webhook-signature": signature, "host": "crm.example"});
    let without = |name: &str| {
        let mut left = headers(ID, &at.to_string(), &ours);
        left.as_object_mut().unwrap().remove(name);
        left
    };
    let now = at.to_string();
    let old = (at - 400).to_string();
    let cases = [
        ("a signature of ours", headers(ID, &now, &ours), BODY, true),
        ("the second of two", headers(ID, &now, &signed(&[other.clone(), secret.clone()], at)), BODY, true),
        ("another secret", headers(ID, &now, &signed(&[other], at)), BODY, false),
        ("another body", headers(ID, &now, &ours), "{}", false),
        ("another id", headers("msg_3_1-0", &now, &ours), BODY, false),
        ("another time", headers(ID, &(at + 1).to_string(), &ours), BODY, false),
        ("an old one", headers(ID, &old, &signed(std::slice::from_ref(&secret), at - 400)), BODY, false),
        ("a part of a signature", headers(ID, &now, &ours[..20]), BODY, false),
        ("another version", headers(ID, &now, &ours.replace("v1,", "v2,")), BODY, false),
        ("no header at all", json!({}), BODY, false),
        ("no id", without("webhook-id"), BODY, false),
        ("no time", without("webhook-timestamp"), BODY, false),
        ("no signature", without("webhook-signature"), BODY, false),
        ("an empty signature", headers(ID, &now, ""), BODY, false),
        ("a signature beyond ASCII", headers(ID, &now, "v1,é☕"), BODY, false),
        ("a time in words", headers(ID, "now", &ours), BODY, false),
        ("an empty time", headers(ID, "", &ours), BODY, false),
        ("a time of a thousand digits", headers(ID, &"9".repeat(1_000), &ours), BODY, false),
        ("a time below zero", headers(ID, "-1", &ours), BODY, false),
    ];
    let asked =
        cases.iter().map(|(_, headers, body, _)| json!({"secret": secret.expose(), "headers": headers, "body": body}));
    let asked: Vec<_> = asked.collect();
    for language in LANGUAGES {
        let verified = language.verify(&asked);
        assert_eq!(verified.len(), cases.len());
        for ((what, _, _, expected), by_framework) in cases.iter().zip(verified) {
            assert_eq!(by_framework.len(), 4);
            for (framework, verified) in by_framework {
                assert_eq!(verified, *expected, "{what}, {}, {framework}", language.name);
            }
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
    // Whoever stores what a test brings has a message that nobody wrote.
    let description = fs::read_to_string("src/http/openapi/new_message.rs").unwrap();
    for (name, text) in [("README.md", &readme), ("src/docs/integrators.md", &page), ("/docs", &description)] {
        let says = text.split("begins `test_`").nth(1).unwrap_or_else(|| panic!("{name} does not say what test_ is"));
        let says = says.split_whitespace().take(20).collect::<Vec<_>>().join(" ").replace("\\ ", "").to_lowercase();
        assert!(says.contains("answer 200 and store nothing"), "{name}: {says}");
    }
    for language in LANGUAGES {
        let sample = fs::read_to_string(language.sample()).unwrap();
        assert!(page.contains(&sample), "src/docs/integrators.md does not show {} as it is", language.file);
    }
}

impl Language {
    fn sample(&self) -> PathBuf {
        PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("src/http/screen/samples").join(self.file)
    }

    /// By request and framework, whether the sample takes it.
    fn verify(&self, asked: &[serde_json::Value]) -> Vec<BTreeMap<String, bool>> {
        let [program, arguments @ ..] = self.command else { panic!("a program") };
        let asked = serde_json::to_string(asked).unwrap();
        let output = Command::new(program).args(arguments).arg(self.sample()).arg(asked).output();
        let output = output.unwrap_or_else(|error| panic!("{program}, which `make tools` installs: {error}"));
        assert!(output.status.success(), "{}: {}", self.name, String::from_utf8_lossy(&output.stderr));
        serde_json::from_slice(&output.stdout).unwrap()
    }
}

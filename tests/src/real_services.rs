//! Real servers of services that are asked over HTTP: Debian's container registry, pypiserver and moto, which are Python packages, and git.

use std::{
    fs,
    net::{Ipv4Addr, TcpListener},
    path::PathBuf,
};

use crate::{
    environment,
    fake_services::{FakeService, Reply, USER},
    folder::TempDir,
    http::Request,
    port::Port,
    process::{Process, Spawn, Stop},
    tls::Identity,
};

/// As `tools/deps.sh` has it.
pub const PYPISERVER: &str = "2.4.2";

/// Likewise.
pub const MOTO: &str = "5.2.5";

/// [`crate::fake_services::PASSWORD`] by bcrypt with the least effort, which is all that the registry takes.
const BCRYPT: &str = "$2b$04$Y71iV9VO2knPqNED4ZzlwOX/CM50ctMcmN5HN5VccxrmWAYY2rwXu";
/// The same as Apache's `htpasswd -s` writes it.
const SHA1: &str = "{SHA}2ipJ+Dp278YgjB657NKUUlFhkQg=";

/// A running server.
#[derive(Debug)]
pub struct RealService {
    _process: Process,
    port: Port,
    _folder: TempDir,
}

impl RealService {
    pub fn port(&self) -> u16 {
        self.port.number()
    }

    /// A registry of images, which looks at passwords if it is `guarded`.
    ///
    /// # Panics
    /// If it is not installed or does not start.
    pub fn registry(guarded: bool) -> Self {
        let (folder, port) = (TempDir::new(), Port::free());
        let users = folder.write_private("users", &format!("{USER}:{BCRYPT}\n"));
        let auth =
            if guarded { format!("auth:\n  htpasswd:\n    realm: test\n    path: {}\n", users.display()) } else { String::new() };
        let settings = format!(
            "version: 0.1\nlog: {{level: error}}\nstorage:\n  filesystem: {{rootdirectory: {}}}\nhttp:\n  addr: 127.0.0.1:{}\n  secret: made-for-a-test\n{auth}",
            folder.join("images").display(),
            port.number()
        );
        let settings = folder.write_private("settings.yml", &settings);
        let spawn = Spawn::new(registry(), Stop::Kill).unprivileged().arg("serve").arg(settings);
        Self::start("the container registry", spawn, port, folder)
    }

    /// What the registry says that it is: `2.8.2`.
    ///
    /// # Panics
    /// If it is not installed.
    pub fn registry_version() -> String {
        // docker-registry github.com/docker/distribution 2.8.2+ds1
        let said = Spawn::new(registry(), Stop::Kill).arg("--version").run();
        said.split_whitespace().last().and_then(|version| version.split('+').next()).unwrap_or_default().to_owned()
    }

    /// An index of Python packages with one in it, which looks at passwords if it is `guarded`.
    ///
    /// # Panics
    /// If it is not installed or does not start.
    pub fn package_index(guarded: bool) -> Self {
        let (folder, port) = (TempDir::new(), Port::free());
        let users = folder.write_private("users", &format!("{USER}:{SHA1}\n"));
        let packages = folder.join("packages");
        fs::create_dir(&packages).expect("own folder");
        fs::write(packages.join("sample_project-1.0.tar.gz"), "").expect("own folder");
        let server = environment::cache().join(format!("pypiserver-{PYPISERVER}/bin/pypi-server"));
        assert!(server.is_file(), "{} is not there; install it with `make deps`", server.display());
        let (guarded_acts, users) =
            if guarded { ("list,download,update", users.display().to_string()) } else { (".", ".".to_owned()) };
        let spawn = Spawn::new(server, Stop::Kill)
            .args(["run", "--interface=127.0.0.1", "--disable-fallback"])
            .args(["--port", &port.number().to_string(), "--authenticate", guarded_acts, "--passwords", &users])
            .arg(packages);
        Self::start("pypiserver", spawn, port, folder)
    }

    /// Moto, which answers as AWS does and looks at every signature, with an access key that may do anything: its id and its secret. There is
    /// a bucket `sales`.
    ///
    /// # Panics
    /// If it is not installed, does not start, or gives no key.
    pub fn moto() -> (Self, String, String) {
        let (folder, port) = (TempDir::new(), Port::free());
        let program = environment::cache().join(format!("moto-{MOTO}/bin/moto_server"));
        assert!(program.is_file(), "{} is not there; install it with `make deps`", program.display());
        let spawn = Spawn::new(program, Stop::Kill)
            .args(["--host", "127.0.0.1", "--port", &port.number().to_string()])
            // What makes the key and the bucket is nobody's; then who asks has to sign.
            .variable("INITIAL_NO_AUTH_ACTION_COUNT", "4");
        let server = Self::start("moto", spawn, port, folder);
        let ask = |service: &str, method: &str, path: &str, body: &str| {
            let nobody = format!(
                "AWS4-HMAC-SHA256 Credential=x/20260101/us-east-1/{service}/aws4_request, SignedHeaders=host, Signature=x"
            );
            let request = Request::new(server.port(), method, path).header("authorization", &nobody);
            let request = if body.is_empty() { request } else { request.body("application/x-www-form-urlencoded", body) };
            String::from_utf8_lossy(&request.send().expect(200).body).into_owned()
        };
        let iam = |action: &str| ask("iam", "POST", "/", &format!("Version=2010-05-08&UserName=anna&Action={action}"));
        iam("CreateUser");
        let made = iam("CreateAccessKey");
        let found = |name: &str| {
            let (_, rest) = made.split_once(&format!("<{name}>")).expect("a key");
            rest.split_once('<').expect("its end").0.to_owned()
        };
        let all = "%7B%22Version%22%3A%222012-10-17%22%2C%22Statement%22%3A%5B%7B%22Effect%22%3A%22Allow%22%2C%22Action%22%3A%22%2A%22%2C%22Resource%22%3A%22%2A%22%7D%5D%7D";
        iam(&format!("PutUserPolicy&PolicyName=all&PolicyDocument={all}"));
        ask("s3", "PUT", "/sales", "");
        (server, found("AccessKeyId"), found("SecretAccessKey"))
    }

    fn start(what: &str, spawn: Spawn, port: Port, folder: TempDir) -> Self {
        let mut process = spawn.start(&folder.join("log"));
        let number = port.number();
        process.wait_until(what, |_| TcpListener::bind((Ipv4Addr::LOCALHOST, number)).is_err());
        Self { _process: process, port, _folder: folder }
    }
}

/// A repository that git itself answers for, behind a door that looks at the password if it is `guarded`.
#[derive(Debug)]
pub struct GitHost {
    service: FakeService,
    _folder: TempDir,
}

impl GitHost {
    /// Where the repository is.
    pub const PATH: &str = "/acme/pipelines.git";

    /// Inside TLS.
    ///
    /// # Panics
    /// If git is not installed.
    pub fn start(identity: Option<Identity>, guarded: bool) -> Self {
        let folder = TempDir::new();
        let repository = folder.join(Self::PATH.trim_start_matches('/'));
        Spawn::new("git", Stop::Kill).args(["init", "--quiet", "--bare"]).arg(&repository).run();
        let root = folder.path().display().to_string();
        let service = FakeService::start(identity, move |asked| {
            if guarded && !asked.is_basic() {
                return Reply::new(401, "").with("www-authenticate", "Basic realm=\"git\"");
            }
            let query = asked.target.split_once('?').map(|(_, query)| query).unwrap_or_default();
            let said = Spawn::new("git", Stop::Kill)
                .arg("http-backend")
                .variable("GIT_PROJECT_ROOT", &root)
                .variable("GIT_HTTP_EXPORT_ALL", "1")
                .variable("REQUEST_METHOD", &asked.method)
                .variable("PATH_INFO", asked.path())
                .variable("QUERY_STRING", query)
                .run();
            let (head, body) = said.split_once("\r\n\r\n").expect("as CGI has it");
            let header =
                |name: &str| head.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": ")).unwrap_or_default();
            let status = header("Status").split(' ').next().and_then(|status| status.parse().ok()).unwrap_or(200);
            Reply::new(status, body).with("content-type", header("Content-Type"))
        });
        Self { service, _folder: folder }
    }

    pub fn port(&self) -> u16 {
        self.service.port()
    }
}

fn registry() -> PathBuf {
    let program = environment::cache().join("docker-registry/usr/bin/docker-registry");
    assert!(program.is_file(), "{} is not there; install it with `make deps`", program.display());
    program
}

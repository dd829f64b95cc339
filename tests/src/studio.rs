//! A server whose Studio is opened in a browser.

use serde_json::Value;

use crate::{
    browser::Browser,
    fake_oidc::FakeOidc,
    folder::TempDir,
    http::Request,
    process::{Spawn, Stop},
    server::{ADMIN_EMAIL, ADMIN_PASSWORD, TestServer, TestServerOptions},
    session::Session,
    shell::Shell,
};

/// What people type as a password. It must never be in a page.
pub const PASSWORD: &str = "plantedPa55word";
/// What they type by mistake; neither.
pub const WRONG_PASSWORD: &str = "plantedWr0ngWord";
/// The list of the first workspace.
pub const LIST: &str = "/w/default/connections";

/// A server with a folder of SQLite files, of which `sales.db` is one.
#[derive(Debug)]
pub struct Studio {
    pub server: TestServer,
    // After the server, which opens its files.
    _files: TempDir,
    _provider: FakeOidc,
    editor: String,
}

impl Studio {
    /// # Panics
    /// If the server does not start.
    pub fn start() -> Self {
        let files = TempDir::new();
        Spawn::new("/usr/bin/sqlite3", Stop::Kill).arg(files.join("sales.db")).arg("CREATE TABLE orders (id INTEGER)").run();
        let provider = FakeOidc::start();
        let arguments = ["--sqlite-folder", &files.path().display().to_string(), "--oidc", &provider.file(&[])];
        let arguments = arguments.map(ToOwned::to_owned).to_vec();
        let server = TestServer::start(TestServerOptions { arguments, ..TestServerOptions::default() });
        let editor = server.token("default", "editor", "fixture");
        Self { server, _files: files, _provider: provider, editor }
    }

    /// A browser whose person has opened a sign-in link of the first admin.
    pub async fn browser(&self) -> Browser {
        let browser = Browser::start(&self.server.url(), &[PASSWORD, WRONG_PASSWORD, ADMIN_PASSWORD]).await;
        let data = self.server.data().display().to_string();
        let link = Shell::new(["sign-in-link", "--email", ADMIN_EMAIL, "--data", &data, "--url", &self.server.url()]).run();
        browser.open(link.stdout()).await;
        browser.arrives(LIST).await;
        browser
    }

    /// Creates a connection by way of the API.
    ///
    /// # Panics
    /// If that is refused.
    pub fn create(&self, connection: &Value) {
        self.request("POST", "").json(connection).send().expect(201);
    }

    /// Edits whatever version is there, by way of the API.
    ///
    /// # Panics
    /// If that is refused.
    pub fn edit(&self, name: &str, change: &Value) {
        self.request("PATCH", &format!("/{name}")).header("if-match", "*").json(change).send().expect(200);
    }

    /// Tests a stored connection by way of the API, whatever comes of it.
    ///
    /// # Panics
    /// If no test is run.
    pub fn test(&self, name: &str) {
        self.request("POST", &format!("/{name}/test")).send().expect(200);
    }

    /// The code of a link by which somebody new chooses a password.
    ///
    /// # Panics
    /// If none is made.
    pub fn link_code(&self, admin: &Session, email: &str) -> String {
        let body = format!("email={}&roles=viewer", email.replace('@', "%40"));
        let added = admin.submit("/w/default/access", &body).expect(201).text();
        added.split("/link/").nth(1).and_then(|rest| rest.split('<').next()).expect("a link").to_owned()
    }

    /// An editor's request to a path below the API's list of connections.
    pub fn request(&self, method: &str, path: &str) -> Request {
        self.server.request(&self.editor, method, &format!("/api/v1/workspaces/default/connections{path}"))
    }
}

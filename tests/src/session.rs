//! Somebody who is signed in to the Studio, without a browser: for what no browser sends, and for pages that only need to be read.

use crate::{
    http::{Answer, Request},
    server::{ADMIN_EMAIL, ADMIN_PASSWORD, TestServer},
};

/// A session.
#[derive(Debug, Clone)]
pub struct Session {
    port: u16,
    cookie: String,
}

impl Session {
    /// Signs the first admin in.
    ///
    /// # Panics
    /// If that is refused.
    pub fn start(server: &TestServer) -> Self {
        Self::of(server, ADMIN_EMAIL, ADMIN_PASSWORD)
    }

    /// Signs somebody in with e-mail and password.
    ///
    /// # Panics
    /// If that is refused.
    pub fn of(server: &TestServer, email: &str, password: &str) -> Self {
        let body = format!("email={}&password={}", email.replace('@', "%40"), password.replace(' ', "+"));
        let nobody = Self::nobody(server);
        let answer = nobody.submit("/sign-in", &body);
        let cookie = answer.expect(303).header("set-cookie").split(';').next().unwrap_or_default().to_owned();
        Self { cookie, ..nobody }
    }

    /// Whoever is not signed in.
    pub fn nobody(server: &TestServer) -> Self {
        Self { port: server.port(), cookie: String::new() }
    }

    /// Whoever has these cookies: `name=value; name=value`.
    #[must_use]
    pub fn with(&self, cookies: &str) -> Self {
        Self { cookie: cookies.to_owned(), ..self.clone() }
    }

    /// The same with another cookie besides.
    #[must_use]
    pub fn and(&self, cookie: &str) -> Self {
        self.with(&[self.cookie.as_str(), cookie].join("; "))
    }

    /// A page.
    pub fn get(&self, path: &str) -> Answer {
        self.request("GET", path).header("accept", "text/html").send()
    }

    /// A form, encoded as browsers do.
    pub fn submit(&self, path: &str, body: &str) -> Answer {
        self.post(path).body("application/x-www-form-urlencoded", body).send()
    }

    /// A POST that says that it comes from a page of this server.
    pub fn post(&self, path: &str) -> Request {
        self.request("POST", path).header("origin", "http://127.0.0.1")
    }

    /// The same through a proxy, for somebody at this address.
    pub fn request_from(&self, method: &str, path: &str, address: &str) -> Request {
        self.request(method, path).header("x-forwarded-for", address)
    }

    fn request(&self, method: &str, path: &str) -> Request {
        Request::new(self.port, method, path).header("cookie", &self.cookie)
    }
}

"""The pages of web servers and of each type, followed from top to bottom: the mirror's side, then real clients."""

import json
import os
from collections.abc import Iterator

import pytest

from packrat_demo.build_image import Image, build_oci
from support.doc_walk import Walk, page_walk
from support.docs_mirror import PASSWORD, DocsMirror, docs_mirror
from support.fresh_root import FreshRoot

_WWW = "/var/www/repo"
_NGINX = "/etc/nginx/sites-available"
_APACHE = "/etc/apache2/sites-available"
_TLS_APACHE = r"""
site=/etc/apache2/sites-available/repo.conf
sed -n '/<VirtualHost/,$p' $site | sed 's|\*:80>|*:443>|; s|#SSL|SSL|' > /tmp/second
cat /tmp/second >> $site
"""
_CERTIFICATE = """\
new() { openssl req -x509 -newkey rsa:2048 -nodes -days 30 "$@" 2>&1; }
# Python 3.13 takes no authority that does not say what its key is for.
new -subj /CN=ca -addext keyUsage=critical,keyCertSign,cRLSign \
  -keyout /root/ca.key -out /usr/local/share/ca-certificates/ca.crt
update-ca-certificates
new -subj /CN=repo.example.com -addext subjectAltName=DNS:repo.example.com -addext basicConstraints=CA:FALSE \
  -CA /usr/local/share/ca-certificates/ca.crt -CAkey /root/ca.key \
  -keyout /etc/ssl/private/repo.example.com.key -out /etc/ssl/certs/repo.example.com.pem
"""
_STORAGE = '[storage]\ndriver = "vfs"\nrunroot = "/run/containers"\ngraphroot = "/var/lib/containers"\n'
_TRUSTED = dict.fromkeys(("PIP_CERT", "SSL_CERT_FILE", "REQUESTS_CA_BUNDLE"), "/etc/ssl/certs/ca-certificates.crt")

pytestmark = [
    pytest.mark.timeout(600),
    pytest.mark.skipif(os.geteuid() != 0, reason="only root can change the root of a process"),
]


@pytest.fixture(scope="module")
def mirror(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DocsMirror]:
    with docs_mirror(tmp_path_factory.mktemp("docs-clients") / "root", "https://repo.example.com") as made:
        yield made


@pytest.fixture(scope="module")
def served(mirror: DocsMirror) -> FreshRoot:
    """The mirror with the page of web servers followed: nginx serves it, with TLS."""
    root = mirror.root
    root.run(_CERTIFICATE)
    # Debian starts a web server when it is installed.
    root.run("service nginx start")
    with page_walk(root, "web-servers.md") as walk:
        walk.run("apt-get install nginx")
        walk.run("ln -s ../sites-available/repo")
        root.run("service nginx stop; service apache2 start")
        walk.run("apt-get install apache2")
        walk.run("a2enmod headers")
        _check(walk)
        _add_tls(walk)
        _packrat_server(walk)
    return root


def _check(walk: Walk) -> None:
    """What the page has one look at holds for both web servers."""
    check = walk.next("curl -sI", "sh").text
    for stop, start in (("nginx", "apache2"), ("apache2", "nginx")):
        walk.type(f"service {stop} stop; service {start} start")
        found, hidden = walk.type(check).replace("\r", "").split("\n\n", 1)
        assert " 200 " in found.splitlines()[0]
        assert "\nCache-Control: no-cache" in found
        assert " 404 " in hidden.splitlines()[0]


def _add_tls(walk: Walk) -> None:
    """TLS as the text has it, and the block for the client of Let's Encrypt."""
    challenge = walk.next("location", "nginx").text
    site = walk.root.path(f"{_NGINX}/repo")
    site.write_text(
        site.read_text()
        .replace("#listen", "listen")
        .replace("#ssl_", "ssl_")
        .replace("    root /var/www/repo;\n", f"{challenge}    root /var/www/repo;\n", 1)
    )
    walk.root.path("/var/www/letsencrypt/.well-known/acme-challenge").mkdir(parents=True)
    walk.root.path("/var/www/letsencrypt/.well-known/acme-challenge/token").write_text("proof")
    walk.type("nginx -t; systemctl restart nginx")
    assert walk.type("curl -fsS http://repo.example.com/.well-known/acme-challenge/token") == "proof"
    walk.type(f"curl -fsSI https://repo.example.com/repo-key; a2enmod ssl; {_TLS_APACHE} apache2ctl configtest")


def _packrat_server(walk: Walk) -> None:
    """The server behind both web servers."""
    walk.root.path(f"{_NGINX}/packrat").write_text(walk.next("limit_conn_zone", "nginx").text)
    walk.root.path(f"{_APACHE}/packrat.conf").write_text(walk.next("<VirtualHost", "apache").text)
    health = "curl -fsS http://packrat.example.com/health"
    walk.type("a2enmod proxy proxy_http reqtimeout; a2ensite packrat; apache2ctl configtest")
    walk.type("service nginx stop; systemctl restart apache2")
    assert walk.type(f"{health}; curl -fsSI https://repo.example.com/repo-key").startswith("ok")
    walk.type("ln -s ../sites-available/packrat /etc/nginx/sites-enabled/; nginx -t")
    walk.type("service apache2 stop; systemctl restart nginx")
    assert walk.type(health).startswith("ok")


def test_apt(served: FreshRoot) -> None:
    with page_walk(served, "apt.md") as walk:
        line, fields = walk.next("deb [arch=amd64", ""), walk.next("Types: deb", "")
        walk.type("install -d /etc/apt/keyrings")
        walk.type("curl -fsS -o /etc/apt/keyrings/packrat-mirror.gpg http://repo.example.com/repo-key.gpg")
        sources = served.path("/etc/apt/sources.list.d")
        for name, block in (("apt-prod.list", line), ("apt-prod.sources", fields)):
            (sources / name).write_text(block.text)
            printed = walk.type("apt-get update; apt-get install --reinstall tool")
            assert "W:" not in printed
            (sources / name).unlink()
        assert "Good signature" in walk.run("curl -O")


def test_yum(served: FreshRoot) -> None:
    with page_walk(served, "yum.md", {"root_dir/": f"{_WWW}/"}) as walk:
        walk.lists("root_dir/", "text", "/")
        walk.type("install -d /etc/yum.repos.d /etc/zypp/repos.d")
        walk.at_terminal(walk.next("curl -fsSL", "sh").text, asks="[y/N]", answer="y")
        assert "hello-1.0-1.x86_64" in walk.type("dnf -y --repo yum-prod install hello; rpm -qa")
        walk.at_terminal(walk.next("curl -fsSL", "sh").text, asks="trust always?", answer="a")
        assert "hello" in walk.type("zypper -n search --repo yum-prod hello")
        assert "Good signature" in walk.run("cd root_dir")
        assert "digests signatures OK" in walk.run("rpmkeys")


def test_pypi(served: FreshRoot) -> None:
    with page_walk(served, "pypi.md", {"YOUR-PROJECT": "your-project"}) as walk:
        walk.environment |= _TRUSTED
        walk.lists("<directory>/packages", "", _WWW)
        project = '[project]\nname = "mine"\nversion = "1"\nrequires-python = ">=3.11"\ndependencies = []\n'
        walk.type(f"mkdir /root/mine; cd /root/mine; printf %s '{project}' > pyproject.toml")
        walk.run("pip config set global.index-url")
        walk.type("pip install --target /root/by-pip your-project; uv pip install --target /root/by-uv your-project")
        assert served.path("/root/by-pip/your_project.py").exists()
        assert served.path("/root/by-uv/your_project.py").exists()
        walk.run("pip config set global.trusted-host")
        explicit = walk.next("[[tool.uv.index]]", "toml").text
        walk.type(f"mkdir /root/ours; cd /root/ours; printf %s '{project}{explicit}' > pyproject.toml")
        walk.type("sed -i 's/= \\[\\]/= [\"your-project\"]/' pyproject.toml; uv lock")
        assert "your_project-1.0" in served.path("/root/ours/uv.lock").read_text()
        walk.type("mkdir /root/theirs; cd /root/theirs; poetry init -n --name theirs")
        walk.run("poetry source add --priority=explicit")
        assert "your-project" in json.dumps(json.loads(walk.run("curl -s")))


def test_json(served: FreshRoot) -> None:
    with page_walk(served, "json.md") as walk:
        walk.lists("<directory>/<package>", "", _WWW)
        shown = json.loads(walk.next("{", "json").text)
        made = json.loads(served.path(f"{_WWW}/json-prod/_repo_main/MANIFEST_all.json").read_text())
        for entry in (shown["conf"][0], made["conf"][0]):
            assert len(entry.pop("sha256")) == 64
        assert shown == made
        walk.type("mkdir /root/files; cd /root/files")
        assert "conf/conf_1.0.json: OK" in walk.run("curl -fsSO")


def test_docker(served: FreshRoot) -> None:
    image = Image("web", "1.2")
    served.path("/root/built.tar").write_bytes(build_oci(image))
    served.path("/etc/containers/storage.conf").write_text(_STORAGE)
    with page_walk(served, "docker.md") as walk:
        walk.environment["PACKRAT_PASSWORD"] = served.path(PASSWORD).read_text()
        walk.type("cd /root; skopeo copy oci-archive:built.tar containers-storage:localhost/web:1.2")
        walk.run("docker save")
        walk.type("packrat-server tag dev web_1.2.tar")
        walk.type("packrat-server promote web_1.2.tar --to prod --change-control CHG-1; packrat-agent sync")
        assert '"1.2"' in walk.run("podman pull")
        insecure = walk.next("[[registry]]", "toml").text
        served.path("/etc/containers/registries.conf.d/packrat-mirror.conf").write_text(insecure)
        walk.type("skopeo list-tags docker://repo.example.com/docker-prod/web")
        walk.run("curl -fsSL -o mirror-policy.json")
        walk.run("install -d -m 0755 /etc/containers/registries.d")
        walk.run("skopeo --policy")
        assert "repo.example.com/docker-prod/web" in walk.run("podman search")

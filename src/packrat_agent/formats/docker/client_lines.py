"""Tells users how their clients pull the images of a docker repository."""

from packrat_agent.formats.interface import ClientSetup
from packrat_agent.formats.shell_text import quoted
from packrat_agent.model.key_places import KeyPlace
from packrat_agent.model.records import Repo

_NO_TLS = "Without TLS, the host must stand in insecure-registries in docker's daemon.json."
_NO_IPV6 = (
    "podman and skopeo of Debian 12 and older take no IPv6 address for the host of an image. Use a name of this host."
)


def client_setup(repo: Repo, url: str, key: KeyPlace | None, image: str) -> tuple[ClientSetup, ...]:
    """Give the commands of podman, docker and skopeo, and those that make podman check signatures.

    Args:
        repo: the repository.
        url: the address of root_dir as the client knows it.
        key: where the public key is published that the images are signed with; None if they are not.
        image: the name of an image of the repository.
    """
    scheme, _, rest = url.partition("://")
    without_tls = "--tls-verify=false " if scheme == "http" else ""
    host = rest.partition("/")[0]
    name = f"{host}/{repo.directory}/{image}"
    # The page's script handles a host that is filled in later.
    title, ipv6_title = (_NO_IPV6 if host.startswith("[") else "", _NO_IPV6)
    lines = []
    if key is not None:
        sigstore = f"{url}/{repo.directory}/sigstore"
        file = repo.directory.replace("/", "-")
        lines.append(f"# Signatures: add the entry of {sigstore}/policy.json to /etc/containers/policy.json")
        lines.append(f"curl -fsSL -o /etc/containers/registries.d/{file}.yaml {quoted(f'{sigstore}/registries.yaml')}")
    lines.append(f"podman pull {without_tls}{quoted(f'{name}:latest')}")
    return (
        ClientSetup("podman", title, "\n".join(lines), ipv6_title),
        ClientSetup("docker", _NO_TLS if without_tls else "", f"docker pull {quoted(f'{name}:latest')}"),
        ClientSetup("skopeo", title, f"skopeo list-tags {without_tls}{quoted(f'docker://{name}')}", ipv6_title),
    )

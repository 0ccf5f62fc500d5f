-- A full sync that finds nothing to do compares what each file is published as with what is remembered of its path: both
-- in the order of the paths, so that no row is looked up by itself.
DROP INDEX files_by_path;
CREATE INDEX files_by_path ON files (repo, path, sha256);

-- Whether any package file of a source is published otherwise than as it is: of most repositories, none.
CREATE INDEX fragments_with_products ON fragments (format, fragment_version, signer) WHERE products <> '[]';

-- The order of an index, without the bodies: a row of fragments is large, and each would be read for three short columns.
CREATE INDEX fragments_in_order ON fragments (format, fragment_version, signer, sha256, name, version, arch);

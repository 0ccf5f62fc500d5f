-- A change of some packages asks whether other entries need the same paths.
CREATE INDEX files_by_path ON files (repo, path);

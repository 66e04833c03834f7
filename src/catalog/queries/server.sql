-- The server's version as one number: 150018 is 15.18.
SELECT current_setting('server_version_num') AS server_version;

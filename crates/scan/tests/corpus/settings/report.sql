-- {{ conn.not.really }} is read in comments, too #> not?
SELECT * FROM dblink('host={{ conn.warehouse.host }}', 'x') -- #> warehouse?

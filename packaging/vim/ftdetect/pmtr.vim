autocmd BufNewFile,BufRead pmtr.conf,*.pmtr setfiletype pmtr

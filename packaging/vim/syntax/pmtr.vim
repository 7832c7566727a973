" Syntax of pmtr.conf(5): the options, where a line begins with one.
if exists("b:current_syntax")
  finish
endif

syntax match pmtrBlock "^\s*job\ze\s"
syntax match pmtrOption "^\s*\(name\|cmd\|dir\|out\|err\|in\|env\|user\|nice\|order\|cpu\|ulimit\|depends\|log\)\ze\s"
syntax match pmtrOption "^\s*\(bounce\s\+every\|report\s\+to\|listen\s\+on\)\ze\s"
syntax match pmtrFlag "^\s*\(disable\|wait\|once\)\s*$"
syntax match pmtrComment "\(^\|\s\)\zs#.*$"
syntax region pmtrString start=+\(^\|\s\)\zs"+ end=+"+ oneline

highlight default link pmtrBlock Structure
highlight default link pmtrOption Keyword
highlight default link pmtrFlag Keyword
highlight default link pmtrComment Comment
highlight default link pmtrString String

let b:current_syntax = "pmtr"

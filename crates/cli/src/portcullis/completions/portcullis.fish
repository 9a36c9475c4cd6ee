# fish completion for portcullis and for Fail2ban's names. Made by `portcullis completions fish`.

function __portcullis_complete
    set -l words (commandline -opc)
    set -l current (commandline -ct)
    set -l program (string replace -r '.*/' '' -- $words[1])
    set -e words[1]
    for line in (portcullis complete $program $words "$current" 2>/dev/null)
        if test "$line" = :files
            __fish_complete_path "$current"
        else
            echo $line
        end
    end
end

for program in portcullis fail2ban-client fail2ban-server fail2ban-regex
    complete -c $program -f -a '(__portcullis_complete)'
end

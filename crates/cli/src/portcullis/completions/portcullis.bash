# bash completion for portcullis and for Fail2ban's names. Made by `portcullis completions bash`.

_portcullis() {
    # The line as it was typed: bash would split addresses at their colons.
    local line=${COMP_LINE:0:COMP_POINT} current='' candidate files=''
    local -a words=()
    read -ra words <<<"$line"
    case $line in
        *[[:space:]]) words+=('') ;;
    esac
    current=${words[${#words[@]} - 1]}
    COMPREPLY=()
    while IFS=$'\t' read -r candidate _; do
        if [ "$candidate" = :files ]; then
            files=yes
        else
            COMPREPLY+=("$candidate")
        fi
    done < <(portcullis complete "${words[0]##*/}" "${words[@]:1}" 2>/dev/null)
    # bash puts back only what stands behind the last colon or equals sign.
    local before=${current%"${current##*[:=]}"}
    if [ -n "$before" ]; then
        COMPREPLY=("${COMPREPLY[@]#"$before"}")
    fi
    if [ -n "$files" ]; then
        compopt -o filenames 2>/dev/null
        while IFS= read -r candidate; do
            COMPREPLY+=("$candidate")
        done < <(compgen -f -- "$current")
    fi
}

complete -F _portcullis portcullis fail2ban-client fail2ban-server fail2ban-regex

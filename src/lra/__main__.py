from lra.commands import main

main()

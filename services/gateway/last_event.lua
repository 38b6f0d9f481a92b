-- Takes a browser's Last-Event-ID for the parameter that goes on after it. EventSource repeats the first URL, so the
-- header wins. Before this code: PLACES, a list of {pattern of the path, parameter, its other spelling}.
local function unescaped(text)
  return (text:gsub("%%(%x%x)", function(digits)
    return string.char(tonumber(digits, 16))
  end))
end

local function escaped(text)
  return (text:gsub("[^%w._~-]", function(letter)
    return ("%%%02X"):format(letter:byte())
  end))
end

function envoy_on_request(handle)
  local headers = handle:headers()
  local id = headers:get("last-event-id")
  local path, query = headers:get(":path"):match("^([^?]*)%??(.*)$")
  for _, place in ipairs(id and id ~= "" and PLACES or {}) do
    local pattern, name, other = unpack(place)
    if path:find(pattern) then
      local pairs_kept = {}
      for pair in query:gmatch("[^&]+") do
        local given = unescaped(pair:match("^[^=]*"))
        if given ~= name and given ~= other then
          pairs_kept[#pairs_kept + 1] = pair
        end
      end
      pairs_kept[#pairs_kept + 1] = name .. "=" .. escaped(id)
      headers:replace(":path", path .. "?" .. table.concat(pairs_kept, "&"))
    end
  end
end
